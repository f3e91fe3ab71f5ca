//! The command line: parse, resolve, run, exit code.

fn main() {}
