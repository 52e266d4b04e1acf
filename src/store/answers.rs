//! Answers of HTTP requests that carried an idempotency key: what is sent again is answered again, and not
//! done again. For what has no idempotency in the books, and moves no credits.

use sha2::{Digest, Sha256};

use super::{Error, Store, scripts};

/// How long an answer is kept, ms: a day.
const KEPT_MS: u64 = 86_400_000;

/// One request and its key.
#[derive(Debug, Clone)]
pub struct Repetition {
    /// Hex digest of who asks and of the key.
    id: String,
    /// Hex digest of what is asked.
    request: String,
    /// This attempt.
    token: String,
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
    /// Where what was made is, if anywhere.
    pub location: Option<String>,
}

/// Whether the request has to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerBegun {
    /// It is the first one; what came of it has to be said with [`Store::end_answer`].
    First,
    /// It was carried out before, and this was the answer.
    Done(KeptAnswer),
    /// It is being carried out.
    UnderWay,
    /// The key was used for another request.
    Another,
}

impl Repetition {
    /// An attempt at a request of `who`, under a key of theirs; `parts` are what makes it the same request.
    pub fn new(who: &str, key: &str, parts: &[&[u8]]) -> Self {
        let mut request = Sha256::new();
        for part in parts {
            // With its length, so that no two lists of parts are the same bytes.
            request.update((part.len() as u64).to_be_bytes());
            request.update(part);
        }
        Self {
            id: hex::encode(Sha256::digest(format!("{who}\0{key}"))),
            request: hex::encode(request.finalize()),
            token: uuid::Uuid::now_v7().simple().to_string(),
        }
    }

    fn partition(&self, partitions: u16) -> u16 {
        let number = u16::from_str_radix(self.id.get(..4).unwrap_or_default(), 16);
        number.unwrap_or(0) % partitions.max(1)
    }
}

impl Store {
    /// Begins a request that may take `lease_ms`; should it never say what came of it, it can be begun anew
    /// after that.
    pub async fn begin_answer(
        &self,
        attempt: &Repetition,
        lease_ms: u64,
    ) -> Result<AnswerBegun, Error> {
        let args = [
            attempt.request.clone(),
            attempt.token.clone(),
            lease_ms.max(1).to_string(),
        ];
        let keys = self.keys_of(attempt)?;
        let run = || self.run(&scripts::ANSWER_BEGIN, &keys, &args);
        // One whose answer was lost is sent again: the token says that it is the same attempt.
        let reply = match run().await {
            Err(Error::Unknown(_)) => run().await?,
            answered => answered?,
        };
        match reply.word()?.as_str() {
            "begun" => Ok(AnswerBegun::First),
            "under_way" => Ok(AnswerBegun::UnderWay),
            "another" => Ok(AnswerBegun::Another),
            "done" => Ok(AnswerBegun::Done(KeptAnswer {
                status: reply.number(1)?,
                body: reply.text(2)?,
                location: Some(reply.text(3)?).filter(|location| !location.is_empty()),
            })),
            _ => reply.unknown(),
        }
    }

    /// Says what came of it: an answer to keep, or nothing, so that the next attempt is carried out.
    pub async fn end_answer(
        &self,
        attempt: &Repetition,
        answer: Option<&KeptAnswer>,
    ) -> Result<(), Error> {
        let status = answer.map(|answer| answer.status.to_string());
        let args = [
            attempt.token.clone(),
            status.unwrap_or_default(),
            answer.map(|answer| answer.body.clone()).unwrap_or_default(),
            answer
                .and_then(|answer| answer.location.clone())
                .unwrap_or_default(),
            KEPT_MS.to_string(),
        ];
        let keys = self.keys_of(attempt)?;
        let reply = self.run(&scripts::ANSWER_END, &keys, &args).await?;
        match reply.word()?.as_str() {
            "kept" | "forgotten" | "not_ours" => Ok(()),
            _ => reply.unknown(),
        }
    }

    fn keys_of(&self, attempt: &Repetition) -> Result<[String; 2], Error> {
        let keys = self.keys(attempt.partition(self.partitions()))?;
        Ok([keys.meta(), keys.answer(&attempt.id)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_of_two_callers_is_two_and_parts_do_not_run_into_each_other() {
        let of = |who, key, parts: &[&[u8]]| Repetition::new(who, key, parts);
        let one = of("a", "k", &[b"ab", b"c"]);
        let again = of("a", "k", &[b"ab", b"c"]);
        assert_eq!((&one.id, &one.request), (&again.id, &again.request));
        assert_ne!(one.token, again.token);
        assert_ne!(one.id, of("b", "k", &[]).id);
        assert_ne!(one.request, of("a", "k", &[b"a", b"bc"]).request);
        assert!((0..64).contains(&one.partition(64)));
    }
}
