//! The demo's processes: a private Redis, the simulated provider, two workers.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::dev::child::{Child, Traces};
use crate::dev::redis::{PrivateRedis, RedisOptions};

/// How long a process may take to say that it is ready.
const READY_MAX: Duration = Duration::from_secs(20);

/// A worker process and the id it goes by.
pub(super) struct WorkerProcess {
    pub(super) name: &'static str,
    pub(super) id: String,
    pub(super) child: Child,
}

/// Everything that runs.
pub(super) struct Processes {
    pub(super) folder: PathBuf,
    pub(super) config: PathBuf,
    pub(super) redis: PrivateRedis,
    pub(super) provider: Child,
    pub(super) provider_url: String,
    pub(super) workers: Vec<WorkerProcess>,
}

impl Processes {
    /// Starts them one after the other, each when the one it needs is ready.
    pub(super) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("meterline-demo-")
            .tempdir()?
            .keep();
        let config = folder.join("config");
        std::fs::create_dir_all(&config)?;
        std::fs::write(
            config.join("meterline.toml"),
            crate::config::DEVELOPMENT_SETTINGS,
        )?;
        let redis = PrivateRedis::start(RedisOptions {
            append_only: true,
            extra: Vec::new(),
        })?;
        let me = std::env::current_exe()?;
        let provider = spawn(
            &me,
            &folder,
            "provider",
            &["simulate-provider", "--listen", "127.0.0.1:0"],
        )?;
        let provider_url = said(&provider, "listening ")?;
        let mut processes = Self {
            folder,
            config,
            redis,
            provider,
            provider_url,
            workers: Vec::new(),
        };
        for name in ["worker-1", "worker-2"] {
            let worker = processes.start_worker(&me, name)?;
            processes.workers.push(worker);
        }
        Ok(processes)
    }

    fn start_worker(&self, me: &Path, name: &'static str) -> anyhow::Result<WorkerProcess> {
        let (redis, config) = (self.redis.url(), self.config.display().to_string());
        let artifacts = self.folder.join("artifacts").display().to_string();
        let provider = format!("sim={}", self.provider_url);
        let arguments = [
            "serve",
            "--role",
            "worker",
            "--redis",
            &redis,
            "--config",
            &config,
            "--artifacts",
            &artifacts,
            "--provider-url",
            &provider,
            "--slots",
            "image=4,video=6,audio=2,training=1",
        ];
        let child = spawn(me, &self.folder, name, &arguments)?;
        let id = said(&child, "ready worker=")?;
        Ok(WorkerProcess { name, id, child })
    }

    /// Kills the worker that goes by this id. Returns its name.
    pub(super) fn kill_worker(&mut self, id: &str) -> io::Result<Option<&'static str>> {
        match self
            .workers
            .iter_mut()
            .find(|worker| id.starts_with(&worker.id))
        {
            Some(worker) => worker.child.kill().map(|()| Some(worker.name)),
            None => Ok(None),
        }
    }

    /// Ends everything; the workers first, so that they end what they run.
    pub(super) fn stop(mut self) {
        for worker in &mut self.workers {
            if worker.child.is_alive() {
                let _ = worker.child.terminate();
            }
        }
        drop(self.workers);
        drop(self.provider);
        drop(self.redis);
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    /// Leaves everything up. Returns how to talk to it and how to end it.
    pub(super) fn keep(self) -> String {
        let (url, config) = (self.redis.url(), self.config.display().to_string());
        let alive = self.workers.iter().filter(|worker| worker.child.is_alive());
        let mut pids: Vec<String> = alive.map(|worker| worker.child.pid().to_string()).collect();
        pids.push(self.provider.pid().to_string());
        pids.extend(self.redis.pid().map(|pid| pid.to_string()));
        let folder = self.folder.display().to_string();
        self.workers
            .into_iter()
            .for_each(|worker| worker.child.keep());
        self.provider.keep();
        let data = self.redis.keep();
        format!(
            "Everything is still up. To talk to it:\n  \
             export METERLINE_REDIS_URL={url}\n  \
             export METERLINE_CONFIG={config}\n  \
             meterline jobs --account acme\n  \
             meterline submit --account acme --tool text-to-image --param prompt=hello --max-credits 7\n  \
             curl {provider}/_sim/submissions\n\
             Artifacts and logs: {folder}\n\
             To end it:\n  \
             kill {pids} && rm -rf {folder} {data}",
            provider = self.provider_url,
            pids = pids.join(" "),
            data = data.display(),
        )
    }
}

fn spawn(me: &Path, folder: &Path, name: &str, arguments: &[&str]) -> io::Result<Child> {
    let (log, pid_file) = (
        folder.join(format!("{name}.log")),
        folder.join(format!("{name}.pid")),
    );
    Child::spawn(
        me,
        arguments,
        &[],
        Traces {
            log: &log,
            pid_file: &pid_file,
            clear: None,
        },
    )
}

/// The rest of the first line that begins with `word`, once the process has printed it.
fn said(child: &Child, word: &str) -> anyhow::Result<String> {
    let began = Instant::now();
    while began.elapsed() < READY_MAX {
        let printed = child.printed();
        let whole = printed.rsplit_once('\n').map_or("", |(lines, _)| lines);
        if let Some(rest) = whole.lines().find_map(|line| line.strip_prefix(word)) {
            return Ok(rest.trim().to_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("a process did not get ready; it said:\n{}", child.printed())
}
