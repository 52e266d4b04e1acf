//! Credits come in, burn, expire and come back.
