//! Cleanings of whole logs.
