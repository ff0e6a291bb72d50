//! What takes hours, and is run by `make campaign`: the same facts as elsewhere, in every case there is.

mod kills;
mod quiet;
