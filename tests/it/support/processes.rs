//! Workers as processes of their own, to be killed and stopped.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use meterline::dev::child::{Child, Traces};

use super::rig::Rig;

/// A worker process and the id it goes by.
pub(crate) struct WorkerProcess {
    pub(crate) id: String,
    pub(crate) child: Child,
}

/// Starts a worker process with a lease of 1 s on a rig's store and provider. Blocks until it claims.
pub(crate) fn start(rig: &Rig, folder: &Path, name: &str, slots: &str) -> WorkerProcess {
    start_with(rig, folder, name, slots, &[])
}

/// The same with settings of its own, as variables.
pub(crate) fn start_with(
    rig: &Rig,
    folder: &Path,
    name: &str,
    slots: &str,
    settings: &[(&'static str, &str)],
) -> WorkerProcess {
    let (log, pid_file) = (
        folder.join(format!("{name}.log")),
        folder.join(format!("{name}.pid")),
    );
    let provider = format!("sim={}", rig.provider_url);
    let artifacts = folder.join("artifacts").display().to_string();
    let arguments = [
        "serve",
        "--role",
        "worker",
        "--redis",
        &rig.url,
        "--config",
        concat!(env!("CARGO_MANIFEST_DIR"), "/config/dev"),
        "--artifacts",
        &artifacts,
        "--provider-url",
        &provider,
        "--slots",
        slots,
    ];
    let mut environment: Vec<(&str, OsString)> = vec![
        ("METERLINE__WORKER__LEASE_MS", "1000".into()),
        ("METERLINE__WORKER__HEARTBEAT_MS", "250".into()),
        ("METERLINE__WORKER__SWEEP_MS", "200".into()),
    ];
    // Of two for one name the last counts.
    environment.extend(settings.iter().map(|(name, value)| (*name, value.into())));
    let traces = Traces {
        log: &log,
        pid_file: &pid_file,
        clear: None,
    };
    let program = Path::new(env!("CARGO_BIN_EXE_meterline"));
    let child = Child::spawn(program, &arguments, &environment, traces).expect("a worker");
    let id = said(&child, "ready worker=");
    WorkerProcess { id, child }
}

/// The rest of the first line in which `word` stands. A log file announces nothing, so it is looked
/// at again and again.
pub(crate) fn said(child: &Child, word: &str) -> String {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        let printed = child.printed();
        let whole = printed.rsplit_once('\n').map_or("", |(lines, _)| lines);
        if let Some(rest) = whole
            .lines()
            .find_map(|line| Some(line.split_once(word)?.1))
        {
            return rest.trim().to_owned();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("a process did not say {word:?} but:\n{}", child.printed());
}
