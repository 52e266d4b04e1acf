//! How firmly a job's line holds its job: whether another worker could go on with it right now.

use tokio::sync::watch;

/// What another worker would need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing was sent under this claim's submission: another begins it anew.
    Unsent,
    /// A request is under way whose answer nobody else would get, or the end is a matter of moments.
    Fast,
    /// All that is known stands in the store: another goes on from there.
    Recorded,
}

/// The hold of one line; the line sets it between two waits.
pub(super) struct Grip {
    hold: watch::Sender<Hold>,
}

impl Grip {
    pub(super) fn new(hold: Hold) -> Self {
        Self {
            hold: watch::Sender::new(hold),
        }
    }

    pub(super) fn set(&self, hold: Hold) {
        self.hold.send_replace(hold);
    }

    /// Waits until the line may be left. Returns whether what is written down of the submission counts.
    pub(super) async fn let_go(&self) -> bool {
        let mut seen = self.hold.subscribe();
        let loose = seen.wait_for(|hold| *hold != Hold::Fast).await;
        // The sender is ours: it cannot be gone.
        loose.map_or(true, |hold| *hold == Hold::Recorded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_line_is_left_only_where_another_worker_can_go_on() {
        let grip = Grip::new(Hold::Unsent);
        assert_eq!(grip.let_go().now_or_never(), Some(false));
        grip.set(Hold::Fast);
        assert_eq!(grip.let_go().now_or_never(), None);
        grip.set(Hold::Recorded);
        assert_eq!(grip.let_go().now_or_never(), Some(true));
    }
}
