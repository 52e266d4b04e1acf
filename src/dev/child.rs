//! Child processes that never outlive us by accident.
//!
//! Each hangs on a small shell that reads from a pipe of ours. However this process ends, even by
//! SIGKILL, the pipe closes and the shell ends the child.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Ends the child when its standard input closes, also a stopped one, unless it read `keep` there. $0 = log file,
/// $1 = file for the process id, $2 = folder to clear afterwards or '', the rest = the child.
const WATCHDOG: &str = r#"log=$0; pidfile=$1; clear=$2; shift 2
"$@" </dev/null >>"$log" 2>&1 & pid=$!
echo "$pid" >"$pidfile"
word=$(cat)
[ "$word" = keep ] || { kill "$pid"; kill -CONT "$pid"; { sleep 20; kill -9 "$pid"; } & } 2>/dev/null
wait "$pid"
[ "$word" = keep ] || kill $! 2>/dev/null
[ "$word" = keep ] || [ -z "$clear" ] || rm -rf "$clear"
exit 0"#;

/// How long the shell may take to start its child.
const START_MAX: Duration = Duration::from_secs(10);

/// A child process; asked to end (SIGTERM) and waited for when dropped; killed after 20 s.
pub struct Child {
    shell: std::process::Child,
    pid: Pid,
    log: PathBuf,
}

/// Where a child's traces go.
#[derive(Debug, Clone, Copy)]
pub struct Traces<'a> {
    /// Everything it prints.
    pub log: &'a Path,
    /// Its process id, for whoever looks from outside.
    pub pid_file: &'a Path,
    /// A folder to remove when the child ends because we did.
    pub clear: Option<&'a Path>,
}

impl Child {
    /// Starts `program`. It has no standard input, and a process group of its own: a Ctrl-C at the
    /// terminal is for us.
    pub fn spawn<A: AsRef<OsStr>>(
        program: &Path,
        arguments: &[A],
        environment: &[(&str, OsString)],
        traces: Traces<'_>,
    ) -> io::Result<Self> {
        let _ = std::fs::remove_file(traces.pid_file);
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(WATCHDOG)
            .arg(traces.log)
            .arg(traces.pid_file);
        command
            .arg(traces.clear.unwrap_or(Path::new("")))
            .arg(program)
            .args(arguments);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let shell = command.spawn()?;
        let pid = await_pid(traces.pid_file)?;
        Ok(Self {
            shell,
            pid,
            log: traces.log.to_owned(),
        })
    }

    /// The child's process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal to the child.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid, signal)?)
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) -> io::Result<()> {
        let _ = self.signal(Signal::KILL);
        self.let_go(b"keep");
        self.shell.wait().map(|_| ())
    }

    /// SIGTERM, and waits until the process has ended by itself.
    pub fn terminate(&mut self) -> io::Result<()> {
        let _ = self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until the process has ended by itself.
    pub fn wait(&mut self) -> io::Result<()> {
        self.let_go(b"keep");
        self.shell.wait().map(|_| ())
    }

    /// Whether the process is still there.
    pub fn is_alive(&self) -> bool {
        test_kill_process(self.pid).is_ok()
    }

    /// Lets the child live on after us.
    pub fn keep(mut self) {
        self.let_go(b"keep");
        // The shell waits for its child and ends with it.
        std::mem::forget(self);
    }

    /// What the child has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn let_go(&mut self, word: &[u8]) {
        if let Some(mut stdin) = self.shell.stdin.take() {
            let _ = stdin.write_all(word);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.let_go(b"");
        let _ = self.shell.wait();
    }
}

/// The shell writes the process id right after the start; nothing announces it, so look again soon.
fn await_pid(file: &Path) -> io::Result<Pid> {
    let began = Instant::now();
    while began.elapsed() < START_MAX {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = text
            .strip_suffix('\n')
            .and_then(|t| t.parse().ok())
            .and_then(Pid::from_raw)
        {
            return Ok(pid);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "the child process did not start",
    ))
}
