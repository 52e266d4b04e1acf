//! A private Postgres: a cluster of its own on a unix socket, a database of it for each test. It refuses to
//! run as root, so that it gets a user of its own where the tests do.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use meterline::dev::child::{Child, Traces};
use meterline::ledger::postgres::{Projector, ProjectorOptions, lags};
use meterline::store::Store;
use secrecy::SecretString;
use tokio_postgres::{Client, NoTls};

/// How long a server may take to be ready.
const START_MAX: Duration = Duration::from_secs(60);

static POSTGRES: LazyLock<PrivatePostgres> = LazyLock::new(|| PrivatePostgres::start(false));
static DATABASE: AtomicU32 = AtomicU32::new(0);

/// A running server; ends when dropped, and its folder with it.
pub(crate) struct PrivatePostgres {
    dir: PathBuf,
    bin: PathBuf,
    child: Option<Child>,
    fsync: bool,
}

/// Name and ids of the user that runs it where we are root.
fn stand_in() -> Option<(&'static str, u32, u32)> {
    let id = |words: &[&str]| {
        let said = Command::new("id").args(words).output().expect("id");
        String::from_utf8_lossy(&said.stdout)
            .trim()
            .parse::<u32>()
            .ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let found = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| Some((name, id(&["-u", name])?, id(&["-g", name])?)));
    Some(found.expect("an unprivileged user"))
}

/// Where `initdb` and `postgres` are.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let installed = installed
        .flatten()
        .map(|version| version.path().join("bin"));
    std::env::split_paths(&path)
        .chain(installed)
        .find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
        .expect("initdb and postgres: `apt-get install postgresql`")
}

impl PrivatePostgres {
    /// Makes a cluster and starts it. Without `fsync` it does not survive the end of the machine, which no
    /// test causes.
    pub(crate) fn start(fsync: bool) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("meterline-postgres-")
            .tempdir();
        let dir = dir.expect("a folder").keep();
        let bin = programs();
        if let Some((_, user, group)) = stand_in() {
            chown(&dir, Some(user), Some(group)).expect("a folder of its own");
        }
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&dir, open).expect("a folder of its own");
        let mut server = Self {
            dir,
            bin,
            child: None,
            fsync,
        };
        let (program, mut arguments) = server.as_user("initdb");
        let data = server.dir.join("data");
        arguments.extend(["-D".into(), data.into_os_string()]);
        arguments.extend(
            [
                "-U",
                "meterline",
                "-A",
                "trust",
                "-N",
                "-E",
                "UTF8",
                "--locale=C",
            ]
            .map(OsString::from),
        );
        let made = Command::new(program)
            .args(arguments)
            .output()
            .expect("initdb");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.restart();
        server
    }

    /// A program of the server and the arguments that come first, run as another user where we are root.
    fn as_user(&self, name: &str) -> (PathBuf, Vec<OsString>) {
        let program = self.bin.join(name);
        let Some((_, user, group)) = stand_in() else {
            return (program, Vec::new());
        };
        let ids = [
            format!("--reuid={user}"),
            format!("--regid={group}"),
            "--clear-groups".to_owned(),
        ];
        let mut first: Vec<OsString> = ids.map(OsString::from).into();
        first.push(program.into_os_string());
        ("setpriv".into(), first)
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> SecretString {
        let folder = self.dir.display().to_string().replace('/', "%2F");
        format!("postgresql://meterline@{folder}/{database}").into()
    }

    /// Makes an empty database.
    pub(crate) async fn database(&self) -> SecretString {
        let name = format!("h{}", DATABASE.fetch_add(1, Ordering::Relaxed));
        let client = connect(&self.url("postgres")).await;
        client
            .batch_execute(&format!("create database {name}"))
            .await
            .expect("a database");
        self.url(&name)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
        }
    }

    /// Starts it on the data in its folder, as often as it takes: processes of a killed server may still be
    /// ending.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if self.child.as_ref().is_none_or(has_ended) {
                // Its folder must outlive it.
                self.kill();
                self.child = Some(self.spawn());
            }
            if self.is_ready() {
                return;
            }
            // Nothing announces that a socket is served, nor that a killed server's processes are gone: look
            // again soon, and leave the processor to them meanwhile.
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!(
            "Postgres did not start: {}",
            std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
        );
    }

    fn spawn(&self) -> Child {
        let (program, mut arguments) = self.as_user("postgres");
        arguments.extend(["-D".into(), self.dir.join("data").into_os_string()]);
        arguments.extend(["-k".into(), self.dir.clone().into_os_string()]);
        let fsync = if self.fsync { "fsync=on" } else { "fsync=off" };
        for setting in [
            "listen_addresses=",
            fsync,
            "max_connections=200",
            "shared_buffers=32MB",
        ] {
            arguments.extend(["-c".into(), setting.into()]);
        }
        let (log, pid_file) = (self.dir.join("log"), self.dir.join("pid"));
        let traces = Traces {
            log: &log,
            pid_file: &pid_file,
            clear: Some(&self.dir),
        };
        Child::spawn(Path::new(&program), &arguments, &[], traces).expect("postgres")
    }

    /// Whether it lets somebody in: a server that is still recovering says no.
    fn is_ready(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.dir.join(".s.PGSQL.5432")) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let words = b"user\0meterline\0database\0postgres\0\0";
        let length = u32::try_from(words.len() + 8).expect("a short message");
        let mut message = length.to_be_bytes().to_vec();
        message.extend(196_608u32.to_be_bytes());
        message.extend(words);
        let mut answer = [0u8; 1];
        stream.write_all(&message).is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer == *b"R"
    }
}

/// Whether a child has ended, also where nobody has asked for its exit code yet.
fn has_ended(child: &Child) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid()));
    stat.map_or(!child.is_alive(), |stat| stat.contains(") Z "))
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A plain connection.
pub(crate) async fn connect(url: &SecretString) -> Client {
    use secrecy::ExposeSecret;
    let connected = tokio_postgres::connect(url.expose_secret(), NoTls).await;
    let (client, connection) = connected.expect("a connection");
    tokio::spawn(connection);
    client
        .batch_execute("set search_path to meterline")
        .await
        .expect("a schema");
    client
}

/// An empty database of the process's own server.
pub(crate) async fn fresh_history() -> SecretString {
    POSTGRES.database().await
}

pub(crate) fn projector(store: &Store, url: &SecretString) -> Projector {
    let options = ProjectorOptions {
        poll_ms: 20,
        batch: 50,
    };
    Projector::new(store.clone(), url.clone(), options)
}

/// Commits everything that there is. Returns how many entries that was.
pub(crate) async fn project(store: &Store, url: &SecretString) -> u64 {
    projector(store, url).catch_up().await.expect("history")
}

/// Waits until history has everything that the store has, and nothing is wrong. Another process writes it
/// and tells nobody, so it is looked at again and again.
pub(crate) async fn await_level(store: &Store, url: &SecretString) {
    let began = Instant::now();
    loop {
        let seen = lags(store, url).await;
        if let Ok(lags) = &seen {
            assert!(lags.iter().all(|lag| lag.wrong.is_none()), "{lags:?}");
            if lags
                .iter()
                .all(|lag| lag.behind == 0 && lag.history_seq.is_some())
            {
                return;
            }
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "history stays behind: {seen:?}"
        );
        // A look is a new connection and a dozen questions; the projector announces no commit.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One figure.
pub(crate) async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.expect(sql).get(0)
}

/// History says of every account exactly what the store does, its own chain is whole, and every entry's
/// postings and all postings sum to zero.
pub(crate) async fn assert_history(store: &Store, url: &SecretString) {
    let client = connect(url).await;
    let sql = "select count(*) from (select 1 from postings group by partition, seq having sum(delta_ucr) <> 0) x";
    assert_eq!(number(&client, sql).await, 0);
    for partition in 0..store.partitions() {
        assert_chain(&client, partition).await;
        for name in store.accounts_in(partition).await.expect("accounts") {
            let shown = store
                .account_snapshots(partition, std::slice::from_ref(&name))
                .await
                .expect("accounts");
            let shown = &shown[0];
            let sql = "select account_seq, available_ucr, held_ucr, debt_ucr, granted_ucr, captured_ucr, expired_ucr,
                refunded_ucr, adjusted_ucr from accounts where account = $1";
            let row = client
                .query_one(sql, &[&name.as_str()])
                .await
                .expect("the account");
            let fields = [
                "seq",
                "available",
                "held",
                "debt",
                "granted",
                "captured",
                "expired",
                "refunded",
                "adjusted",
            ];
            for (n, field) in fields.into_iter().enumerate() {
                assert_eq!(row.get::<_, i64>(n), shown.ucr(field), "{field} of {name}");
            }
            let sql = "select grant_id, grant_row from grants where account = $1";
            let rows = client.query(sql, &[&name.as_str()]).await.expect("grants");
            let grants = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
            assert_eq!(shown.grants, grants, "grants of {name}");
        }
    }
}

/// The committed entries are one chain without a gap, each once.
async fn assert_chain(client: &Client, partition: u16) {
    use sha1::{Digest, Sha1};
    let sql = "select seq, hash, body from entries where partition = $1 order by seq";
    let rows = client
        .query(sql, &[&i32::from(partition)])
        .await
        .expect("entries");
    let mut before: Option<(i64, String)> = None;
    for row in rows {
        let (seq, hash, body): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
        if let Some((seq_before, hash_before)) = before {
            assert_eq!(seq, seq_before + 1, "partition {partition}");
            assert_eq!(
                hash,
                hex::encode(Sha1::digest(format!("{hash_before}{body}"))),
                "entry {seq}"
            );
        }
        before = Some((seq, hash));
    }
}
