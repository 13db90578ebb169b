//! A layer blob as a stream: what it is compressed with, and the tar inside.

mod decompress;

pub use self::decompress::{Compression, Inflation, decompress, decompress_among};
