//! Is a loaded graph the one that the manifest describes?

use ort::value::{Outlet, TensorElementType, ValueType};

use crate::tensor::{DType, Dim, TensorSpec};

/// Every difference between declared and found tensors of one direction (`input` or `output`).
pub(super) fn mismatches(direction: &str, declared: &[TensorSpec], found: &[Found]) -> Vec<String> {
    let mut list = Vec::new();
    for spec in declared {
        match found.iter().find(|each| each.name == spec.name) {
            None => {
                list.push(format!(
                    "{direction} \"{}\": expected {}, found none",
                    spec.name,
                    spec.signature()
                ));
            }
            Some(Found { spec: Ok(found), .. }) if spec.agrees_with(found) => {}
            Some(Found { spec: Ok(found), .. }) => list.push(format!(
                "{direction} \"{}\": expected {}, found {}",
                spec.name,
                spec.signature(),
                found.signature()
            )),
            Some(Found { spec: Err(kind), .. }) => {
                list.push(format!(
                    "{direction} \"{}\": expected {}, found {kind}",
                    spec.name,
                    spec.signature()
                ));
            }
        }
    }
    for each in found.iter().filter(|each| declared.iter().all(|spec| spec.name != each.name)) {
        let kind = each.spec.as_ref().map_or_else(Clone::clone, TensorSpec::signature);
        list.push(format!("{direction} \"{}\": not in the manifest, found {kind}", each.name));
    }
    list
}

/// One input or output of a loaded graph; the description of its type if that is none that this library knows.
pub(super) struct Found {
    name: String,
    spec: Result<TensorSpec, String>,
}

/// What a session says about one of its inputs or outputs.
pub(super) fn found(outlet: &Outlet) -> Found {
    let name = outlet.name().to_owned();
    let spec = match outlet.dtype() {
        ValueType::Tensor { ty, shape, dimension_symbols } => match dtype(*ty) {
            Some(dtype) => {
                let axis = |(length, symbol): (&i64, &String)| {
                    usize::try_from(*length).map_or_else(|_| Dim::Symbol(symbol.clone()), Dim::Fixed)
                };
                let shape = shape.iter().zip(dimension_symbols.iter()).map(axis).collect();
                Ok(TensorSpec { name: name.clone(), dtype, shape })
            }
            None => Err(format!("{ty} tensor")),
        },
        other => Err(other.to_string()),
    };
    Found { name, spec }
}

fn dtype(element: TensorElementType) -> Option<DType> {
    match element {
        TensorElementType::Float32 => Some(DType::F32),
        TensorElementType::Float16 => Some(DType::F16),
        TensorElementType::Int64 => Some(DType::I64),
        TensorElementType::Int32 => Some(DType::I32),
        TensorElementType::Uint8 => Some(DType::U8),
        TensorElementType::Int8 => Some(DType::I8),
        TensorElementType::Bool => Some(DType::Bool),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, shape: &[usize]) -> TensorSpec {
        let shape = shape.iter().map(|&length| Dim::Fixed(length)).collect();
        TensorSpec { name: name.to_owned(), dtype: DType::F32, shape }
    }

    fn given(name: &str, shape: &[usize]) -> Found {
        Found { name: name.to_owned(), spec: Ok(spec(name, shape)) }
    }

    #[test]
    fn all_mismatches_are_listed_at_once() {
        let declared = [spec("same", &[2]), spec("other", &[2]), spec("absent", &[1])];
        let found = [
            given("same", &[2]),
            given("other", &[3]),
            given("extra", &[1]),
            Found { name: "list".to_owned(), spec: Err("Sequence".to_owned()) },
        ];
        let list = mismatches("input", &declared, &found);
        assert_eq!(
            list,
            [
                "input \"other\": expected f32[2], found f32[3]",
                "input \"absent\": expected f32[1], found none",
                "input \"extra\": not in the manifest, found f32[1]",
                "input \"list\": not in the manifest, found Sequence",
            ]
        );
    }
}
