//! A private Redis: a child process on a unix socket in a folder of its own.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{Child, Traces};

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

/// A running private server; ends when dropped, and its folder with it.
pub struct PrivateRedis {
    program: PathBuf,
    dir: PathBuf,
    child: Option<Child>,
    options: RedisOptions,
}

/// The program to run, or an error that says how to get one.
pub fn server_program() -> Result<PathBuf, Error> {
    server_programs().next().ok_or(Error::NotInstalled)
}

/// All server programs on the PATH, in its order.
pub fn server_programs() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.into_iter()
        .flat_map(|dir| [dir.join("redis-server"), dir.join("valkey-server")])
        .filter(|program| program.is_file())
}

impl PrivateRedis {
    /// Starts a server in a new folder under the system's temporary one.
    pub fn start(options: RedisOptions) -> Result<Self, Error> {
        Self::start_program(server_program()?, options)
    }

    /// The same with a server of the caller's choice.
    pub fn start_program(program: PathBuf, options: RedisOptions) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix("meterline-redis-")
            .tempdir()?
            .keep();
        let mut server = Self {
            program,
            dir,
            child: None,
            options,
        };
        server.restart()?;
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

    /// The server's process id, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.child.as_ref().map(Child::pid)
    }

    /// Kills the server with SIGKILL and waits until it is gone. Its data stay in the folder.
    pub fn kill(&mut self) -> Result<(), Error> {
        match self.child.take() {
            Some(mut child) => Ok(child.kill()?),
            None => Ok(()),
        }
    }

    /// Starts the server on the data in its folder.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill()?;
        let _ = std::fs::remove_file(self.socket());
        self.child = Some(self.spawn()?);
        self.await_pong()
    }

    /// Lets server and folder live on after this value; says which folder it is.
    pub fn keep(mut self) -> PathBuf {
        if let Some(child) = self.child.take() {
            child.keep();
        }
        let dir = self.dir.clone();
        std::mem::forget(self);
        dir
    }

    fn spawn(&self) -> Result<Child, Error> {
        let at = |name: &str| self.dir.join(name);
        let append_only = if self.options.append_only {
            "yes"
        } else {
            "no"
        };
        let mut arguments: Vec<OsString> = ["--port", "0", "--unixsocketperm", "700", "--save", ""]
            .into_iter()
            .chain(["--appendonly", append_only, "--appendfsync", "everysec"])
            .chain(["--maxmemory-policy", "noeviction", "--databases", "1024"])
            .map(OsString::from)
            .collect();
        arguments.extend(["--unixsocket".into(), self.socket().into_os_string()]);
        arguments.extend(["--dir".into(), self.dir.clone().into_os_string()]);
        arguments.extend(self.options.extra.iter().map(OsString::from));
        let (log, pid_file) = (at("redis.log"), at("redis.pid"));
        // Kept over kill and restart; whoever ends us without a drop leaves the folder to the shell.
        let traces = Traces {
            log: &log,
            pid_file: &pid_file,
            clear: Some(&self.dir),
        };
        Ok(Child::spawn(&self.program, &arguments, &[], traces)?)
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
            std::fs::read_to_string(self.dir.join("redis.log")).unwrap_or_default(),
        ))
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        // Asking is no use: a server that rewrites its file refuses to end, and the data goes anyway.
        let _ = self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn pongs(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let mut answer = [0u8; 5];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"+PONG"
}
