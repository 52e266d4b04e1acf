//! `completions`: what a shell needs to complete our commands.

use clap::CommandFactory;
use clap_complete::Shell;

use super::failure::{Exit, Failure};
use super::{Call, Cli};

const EXAMPLES: &str = "Examples:
  meterline completions bash > ~/.local/share/bash-completion/completions/meterline
  meterline completions zsh > ~/.zfunc/_meterline
  meterline completions fish > ~/.config/fish/completions/meterline.fish
  source <(meterline completions bash)";

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(call: &Call, args: &Args) -> Result<Exit, Failure> {
    // Into memory first: a reader that goes away is no failure, and the generator would panic.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "meterline", &mut script);
    call.out.text(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
