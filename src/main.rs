//! The program: everything is in the library.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        // Measures a stranger's file: before any thread, any setting and any connection.
        [command, path] if command == "probe-media" => {
            meterline::media::probe::child::child_main(Path::new(path))
        }
        _ => meterline::cli::main(),
    }
}
