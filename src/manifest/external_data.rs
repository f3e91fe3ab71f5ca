//! Which files the tensors of an ONNX graph lie in, read from the protobuf without decoding the graph.
//!
//! Field numbers are those of `onnx.proto`. Only the messages on the way to a tensor are entered.

use std::collections::BTreeSet;

/// The messages on the way from a model to its tensors.
#[derive(Debug, Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    SparseTensor,
    Tensor,
}

/// The deepest nesting of subgraphs that is followed.
const MAX_DEPTH: usize = 64;

/// Bytes that are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// A field runs past the end, or a number is too long.
    #[error("not an ONNX graph: the protobuf message is cut or malformed")]
    Message,
    /// Graphs inside graphs inside graphs.
    #[error("subgraphs are nested more than {MAX_DEPTH} deep")]
    Depth,
}

/// The distinct locations of external tensor data in a serialized `ModelProto`.
pub(super) fn locations(model: &[u8]) -> Result<BTreeSet<String>, Malformed> {
    let mut found = BTreeSet::new();
    walk(Message::Model, model, 0, &mut found)?;
    Ok(found)
}

fn walk(message: Message, bytes: &[u8], depth: usize, found: &mut BTreeSet<String>) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed::Depth);
    }
    let mut fields = Fields { rest: bytes };
    while let Some((number, content)) = fields.next()? {
        let Some(content) = content else { continue };
        let inner = match (message, number) {
            (Message::Model, 7) | (Message::Attribute, 6 | 11) => Message::Graph,
            (Message::Model, 25) => Message::Function,
            (Message::Graph, 1) | (Message::Function, 7) => Message::Node,
            (Message::Function, 11) | (Message::Node, 5) => Message::Attribute,
            (Message::Graph, 5) | (Message::Attribute, 5 | 10) | (Message::SparseTensor, 1 | 2) => {
                Message::Tensor
            }
            (Message::Graph, 15) | (Message::Attribute, 22 | 23) => Message::SparseTensor,
            (Message::Tensor, 13) => {
                if let Some(location) = location(content)? {
                    found.insert(location);
                }
                continue;
            }
            _ => continue,
        };
        walk(inner, content, depth + 1, found)?;
    }
    Ok(())
}

/// The value of a `StringStringEntryProto` whose key is `location`.
fn location(entry: &[u8]) -> Result<Option<String>, Malformed> {
    let (mut key, mut value) = (&[][..], &[][..]);
    let mut fields = Fields { rest: entry };
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (1, Some(content)) => key = content,
            (2, Some(content)) => value = content,
            _ => {}
        }
    }
    Ok((key == b"location").then(|| String::from_utf8_lossy(value).into_owned()))
}

/// Number of a field, and its content if that is length-delimited.
type Field<'a> = (u64, Option<&'a [u8]>);

/// Walks over the fields of a message.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => self.take(8).map(|_| None)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Message)?;
                Some(self.take(length)?)
            }
            5 => self.take(4).map(|_| None)?,
            _ => return Err(Malformed::Message),
        };
        Ok(Some((tag >> 3, content)))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Message)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Message)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        assert!(content.len() < 128 && number < 16, "one byte each");
        let mut bytes = vec![number << 3 | 2, content.len() as u8];
        bytes.extend_from_slice(content);
        bytes
    }

    fn external_tensor(location: &str) -> Vec<u8> {
        field(13, &[field(1, b"location"), field(2, location.as_bytes())].concat())
    }

    #[test]
    fn weights_of_graphs_and_of_attributes_are_found() {
        let initializer = field(5, &external_tensor("a.data"));
        let constant = field(1, &field(5, &field(5, &external_tensor("../b.data"))));
        let model = field(7, &[initializer, constant].concat());
        let found: Vec<String> = locations(&model).unwrap().into_iter().collect();
        assert_eq!(found, ["../b.data", "a.data"]);
    }

    #[test]
    fn a_cut_graph_is_malformed() {
        let model = field(7, &field(5, &external_tensor("a.data")));
        assert_eq!(locations(&model[..model.len() - 1]), Err(Malformed::Message));
        assert_eq!(locations(&[]), Ok(BTreeSet::new()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = locations(&bytes);
        }
    }
}
