//! A private Redis: a child process on a unix socket in a folder of its own.
//!
//! The child hangs on a small shell that reads from a pipe of ours. However this process ends, even by
//! SIGKILL, the pipe closes, and the shell ends the server and clears its folder.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ends the server when its standard input closes. $0 = folder, $1 = clear it, the rest = the server.
const WATCHDOG: &str = r#"dir=$0; clear=$1; shift
"$@" </dev/null >"$dir/redis.out" 2>&1 & pid=$!
cat >/dev/null
kill "$pid" 2>/dev/null; wait "$pid"
[ "$clear" = yes ] && rm -rf "$dir"
exit 0"#;

/// How long a server may take to answer its first PING.
const START_MAX: Duration = Duration::from_secs(20);

/// What went wrong with the private server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server program was found.
    #[error(
        "find redis-server or valkey-server on the PATH; install it: `apt-get install redis-server`, \
         `dnf install redis` or `brew install redis`"
    )]
    NotInstalled,
    /// The folder or the process could not be made.
    #[error("start the private Redis: {0}")]
    Io(#[from] io::Error),
    /// It did not answer in time.
    #[error("reach the private Redis, it said: {0}")]
    Silent(String),
}

/// How the server keeps its data.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Whether every write goes to an append-only file (fsync once a second).
    pub append_only: bool,
    /// More settings as they would stand on a command line, e.g. `["--maxmemory", "64mb"]`.
    pub extra: Vec<String>,
}

/// A running private server; ends when dropped.
pub struct PrivateRedis {
    dir: PathBuf,
    child: Child,
    options: RedisOptions,
    keep: bool,
}

/// The program to run, or an error that says how to get one.
pub fn server_program() -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|dir| [dir.join("redis-server"), dir.join("valkey-server")])
        .find(|program| program.is_file())
        .ok_or(Error::NotInstalled)
}

impl PrivateRedis {
    /// Starts a server in a new folder under the system's temporary one.
    pub fn start(options: RedisOptions) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix("meterline-redis-")
            .tempdir()?
            .keep();
        let child = spawn(&dir, &options)?;
        let server = Self {
            dir,
            child,
            options,
            keep: false,
        };
        server.await_pong()?;
        Ok(server)
    }

    /// The address for clients, database 0.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// The address of another of its databases, so that tests do not meet.
    pub fn url_of_database(&self, database: u32) -> String {
        format!("{}?db={database}", self.url())
    }

    /// The folder with its socket and its data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets server and folder live on after this value, until they are ended by hand.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Kills the server with SIGKILL and waits until it is gone. Its data stay in the folder.
    pub fn kill(&mut self) -> Result<(), Error> {
        signal(self.pid()?, rustix::process::Signal::KILL)?;
        self.await_gone();
        Ok(())
    }

    /// Starts the server again on its data, after a kill.
    pub fn restart(&mut self) -> Result<(), Error> {
        // The shell first: left alone it would clear the folder as soon as its pipe closes.
        self.child.kill()?;
        let _ = self.child.wait();
        drop(self.child.stdin.take());
        let _ = std::fs::remove_file(self.socket());
        self.child = spawn(&self.dir, &self.options)?;
        self.await_pong()
    }

    /// The server's process id.
    pub fn pid(&self) -> Result<i32, Error> {
        let text = std::fs::read_to_string(self.dir.join("redis.pid"))?;
        text.trim()
            .parse()
            .map_err(|_| Error::Silent("no process id".to_owned()))
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    fn await_pong(&self) -> Result<(), Error> {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if pongs(&self.socket()) {
                return Ok(());
            }
            // Nothing announces that a socket is served: look again soon.
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Error::Silent(
            std::fs::read_to_string(self.dir.join("redis.out")).unwrap_or_default(),
        ))
    }

    fn await_gone(&self) {
        while pongs(&self.socket()) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        if self.keep {
            // The shell would end the server with us: leave it the open pipe.
            if let Some(stdin) = self.child.stdin.take() {
                std::mem::forget(stdin);
            }
            return;
        }
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Sends a signal to a process of ours.
pub fn signal(pid: i32, signal: rustix::process::Signal) -> io::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

fn spawn(dir: &Path, options: &RedisOptions) -> Result<Child, Error> {
    let at = |name: &str| dir.join(name).display().to_string();
    let append_only = if options.append_only { "yes" } else { "no" };
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(WATCHDOG)
        .arg(dir)
        .arg("yes")
        .arg(server_program()?);
    command.args([
        "--port",
        "0",
        "--unixsocket",
        &at("redis.sock"),
        "--unixsocketperm",
        "700",
    ]);
    command.args([
        "--dir",
        &dir.display().to_string(),
        "--pidfile",
        &at("redis.pid"),
    ]);
    command.args([
        "--save",
        "",
        "--appendonly",
        append_only,
        "--appendfsync",
        "everysec",
    ]);
    command.args(["--maxmemory-policy", "noeviction", "--databases", "1024"]);
    command.args(&options.extra);
    // A group of its own: a Ctrl-C at the terminal is for us, not for the store.
    command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command.spawn()?)
}

fn pongs(socket: &Path) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(socket) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut answer = [0u8; 5];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"+PONG"
}
