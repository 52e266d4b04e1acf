//! What goes over the wire: the requests and answers of the HTTP API, one definition for the server that
//! gives them and the client that reads them, so that the two cannot differ.
//!
//! Amounts are whole micro-credits (`*_ucr`), lengths of time whole milliseconds (`*_ms`), times RFC 3339.
//! Their documentation is the OpenAPI document's.

mod accounts;
mod costs;
mod house;
mod jobs;
mod object;
mod page;
mod still;
mod webhooks;

pub use accounts::*;
pub use costs::*;
pub use house::*;
pub use jobs::*;
pub use object::Object;
pub use page::*;
pub use still::*;
pub use webhooks::*;
