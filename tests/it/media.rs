//! Outputs end to end: fetched from a real server, stored, measured in a child process.
