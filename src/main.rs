//! The command line.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [command, path] if command == "probe-media" => {
            meterline::media::probe::child::child_main(Path::new(path))
        }
        _ => ExitCode::from(2),
    }
}
