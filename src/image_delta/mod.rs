//! Deltas of the layers of an image: made from another image, carried as an artifact that refers to it, found and applied
//! where layers of the other image are.
//!
//! ```text
//! make       deltas of the layers that an image does not share with another
//! artifact   the manifest that carries them
//! choose     whether a delta is worth carrying, and worth using
//! held       the layers of a store, by diff_id
//! rebuilder  finds the artifact of an image and rebuilds its layers during a transfer
//! ```

mod artifact;
mod choose;
mod held;
mod make;
mod rebuilder;

pub use self::artifact::{DELTA_ARTIFACT, delta_artifact, has_deltas_from};
pub use self::choose::{DeltaUse, can_pay, pays};
pub use self::held::HeldLayers;
pub use self::make::{LayerDelta, make_deltas};
pub use self::rebuilder::{DeltaRebuilder, Receiving};
