//! Open files: each connection is one, and many systems begin a process with few.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and those it starts, have as many open files as the system allows without asking anybody.
/// Returns how many; `None` where there is no limit.
pub(super) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::debug!(%error, "failed to raise the limit of open files");
            current
        }
    }
}
