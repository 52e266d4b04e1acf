//! All integration tests in one binary; one module for each part of the house.

mod provider;
