//! `man`: the manual, one page for each command, made from what `--help` says.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::failure::{EXIT_CODES, Exit, Failure, Kind};
use super::{Call, Cli};

const EXAMPLES: &str = "Examples:
  meterline man | man -l -
  meterline man --dir ~/.local/share/man/man1";

/// Print the manual page of meterline, or write the pages of all commands
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Write one page for each command into this folder, which is made where it is missing
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(call: &Call, args: &Args) -> Result<Exit, Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.dir else {
        let page = page(command)?;
        call.out.text(String::from_utf8_lossy(&page).trim_end())?;
        return Ok(Exit::Done);
    };
    let written = std::fs::create_dir_all(dir).and_then(|()| write_all(command, dir));
    let pages = written.map_err(|error| {
        let dir = dir.display();
        Failure::new(
            Kind::Io,
            format!("failed to write pages into {dir}: {error}"),
        )
    })?;
    let value = serde_json::json!({"dir": dir, "pages": pages});
    call.out.show(&value, || {
        format!("wrote {pages} pages into {}", dir.display())
    })?;
    Ok(Exit::Done)
}

/// The page of a command and those of the commands in it; how many that were.
fn write_all(command: clap::Command, dir: &Path) -> io::Result<usize> {
    let mut pages = 1;
    let inner: Vec<clap::Command> = command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
        .cloned()
        .collect();
    for inner in inner {
        pages += write_all(inner, dir)?;
    }
    let name = Man::new(command.clone()).get_filename();
    std::fs::write(dir.join(name), page(command)?)?;
    Ok(pages)
}

/// One page: the parts that are made of flags and arguments, then the examples and what the exit
/// codes mean, which is the same for every command.
fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string);
    let has_commands = command.get_subcommands().next().is_some();
    let man = Man::new(command)
        .source(concat!("meterline ", env!("CARGO_PKG_VERSION")))
        .manual("Meterline");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    let examples = after.as_deref().unwrap_or_default();
    let examples = examples.strip_suffix(EXIT_CODES).unwrap_or(examples);
    let (_, lines) = examples.split_once('\n').unwrap_or(("", examples));
    as_it_stands(&mut roff, "EXAMPLES", lines);
    let (_, codes) = EXIT_CODES.split_once('\n').unwrap_or(("", EXIT_CODES));
    as_it_stands(&mut roff, "EXIT STATUS", codes);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// A section whose lines are kept as they are.
fn as_it_stands(roff: &mut Roff, heading: &str, lines: &str) {
    roff.control("SH", [heading]);
    roff.control("nf", []);
    for line in lines.trim_end().lines() {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
}
