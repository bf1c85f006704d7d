//! The program; everything it does is in the library beside it, where its parts can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
