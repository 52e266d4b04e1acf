//! What came of a word to an endpoint, and what one is made of.

use std::fmt::Display;

use ipnet::IpNet;

use crate::store::{CreateEndpoint, EndpointActOutcome, EndpointCreated, Redelivered};
use crate::webhook::{self, BadSecret, Secret};

use super::refusal::{Kind, Refused};

/// An address that messages can be posted to, in its normal form.
///
/// # Errors
/// [`Refused`] where it is none, or none that would ever be dialled.
pub fn address(text: &str, allowed: &[IpNet]) -> Result<String, Refused> {
    webhook::address(text, allowed)
        .map_err(|error| Refused::new(Kind::BadUrl, format!("cannot {error}")))
}

/// A secret as given, or a new one.
///
/// # Errors
/// [`BadSecret`] where one was given that cannot be used.
pub fn secret(given: Option<&str>) -> Result<Secret, BadSecret> {
    given.map_or_else(|| Ok(Secret::of_bytes(rand::random())), Secret::parse)
}

/// Whether an endpoint had been made before.
///
/// # Errors
/// [`Refused`]: none was made.
pub fn created(new: &CreateEndpoint, outcome: EndpointCreated) -> Result<bool, Refused> {
    match outcome {
        EndpointCreated::Created { replayed } => Ok(replayed),
        EndpointCreated::Mismatch => Err(another(&new.endpoint)),
        EndpointCreated::UnknownAccount => {
            let sentence = format!("there is no account {}", new.account);
            Err(Refused::new(Kind::UnknownAccount, sentence))
        }
        EndpointCreated::TooMany { endpoints } => {
            let sentence = format!(
                "account {} has {endpoints} endpoints, as many as it may (webhooks.endpoints_max)",
                new.account
            );
            Err(Refused::new(Kind::TooManyEndpoints, sentence))
        }
    }
}

/// Under this id stands an endpoint that was asked for with other words.
pub fn another(endpoint: &impl Display) -> Refused {
    let sentence = format!("endpoint {endpoint} was made before, as another one");
    Refused::new(Kind::OperationMismatch, sentence)
}

/// Whether an act changed the endpoint; false where it was so already.
///
/// # Errors
/// [`Refused`]: nothing changed.
pub fn acted(endpoint: &impl Display, outcome: EndpointActOutcome) -> Result<bool, Refused> {
    match outcome {
        EndpointActOutcome::Done => Ok(true),
        EndpointActOutcome::Already => Ok(false),
        EndpointActOutcome::Disabled => Err(disabled(endpoint)),
        EndpointActOutcome::Unknown => Err(unknown(endpoint)),
    }
}

/// How many messages are back in the outbox, and how many dead letters are left.
///
/// # Errors
/// [`Refused`]: none is back. Of all there are, none at all is refused too.
pub fn redelivered(endpoint: &impl Display, outcome: Redelivered) -> Result<(u32, u32), Refused> {
    match outcome {
        Redelivered::Redelivered { messages, left } => Ok((messages, left)),
        Redelivered::Full => {
            let sentence = format!(
                "the outbox of {endpoint} is full: nothing that waits there is dropped for it; repeat later"
            );
            Err(Refused::new(Kind::OutboxFull, sentence))
        }
        Redelivered::Disabled => Err(disabled(endpoint)),
        Redelivered::Nothing => {
            let sentence = format!("endpoint {endpoint} has no such dead letter");
            Err(Refused::new(Kind::UnknownMessage, sentence))
        }
        Redelivered::Unknown => Err(unknown(endpoint)),
    }
}

/// There is no such endpoint, or it is somebody else's.
pub fn unknown(endpoint: &impl Display) -> Refused {
    let sentence = format!("there is no endpoint {endpoint}");
    Refused::new(Kind::UnknownEndpoint, sentence)
}

fn disabled(endpoint: &impl Display) -> Refused {
    let sentence = format!("endpoint {endpoint} is disabled: enable it first");
    Refused::new(Kind::EndpointDisabled, sentence)
}
