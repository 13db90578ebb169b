//! Where the disk went: which image needs which layer, and what else docker keeps.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::data_root::DataRoot;
use super::layer_db::is_cache_id;
use super::{DockerRoot, paths};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::engine_store::disk_usage::DiskShare;
use crate::error::Result;
use crate::sharing::{ImageSize, SharedSizes};

/// Disk usage of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DockerImageUsage {
    /// Its first name; `<none>` without one.
    pub reference: String,
    /// All its names.
    pub names: Vec<String>,
    /// The image's id.
    pub digest: Digest,
    /// Bytes of the files of its layers.
    pub size: u64,
    /// Bytes of layers that other images need, too.
    pub shared: u64,
    /// Bytes of layers that only this image needs.
    pub unique: u64,
}

/// A layer, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DockerLayerUsage {
    /// Identity of the stack of layers up to this one.
    pub chain_id: Digest,
    /// Digest of its tar.
    pub diff_id: Digest,
    /// The directory with its files.
    pub directory: String,
    /// Bytes of its files, as docker counted them.
    pub size: u64,
    /// The images that need it, as in [`DockerUsage::images`].
    pub images: Vec<String>,
    /// Containers that need it.
    pub containers: u64,
}

/// Disk usage of docker's data root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DockerUsage {
    /// The data root.
    pub directory: String,
    /// Each image that `docker images` shows, by its name.
    pub images: Vec<DockerImageUsage>,
    /// Each layer, the largest first.
    pub layers: Vec<DockerLayerUsage>,
    /// Bytes of all layers.
    pub bytes: u64,
    /// Bytes of layers that images or containers need.
    pub referenced: u64,
    /// Bytes of layers that nothing needs.
    pub unreferenced: u64,
    /// The whole data root by what it holds, the largest first.
    pub shares: Vec<DiskShare>,
}

impl DockerRoot {
    /// Computes the disk usage. Sizes of image layers are docker's own; all other directories are walked.
    ///
    /// What cannot be read is left out, with a warning.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Store`] if the data root cannot be read.
    pub fn usage(&self) -> Result<DockerUsage> {
        self.0.usage()
    }
}

/// The writable layers of containers.
#[derive(Default)]
struct Containers {
    count: u64,
    /// Names of their directories in overlay2.
    cache_ids: HashSet<String>,
    /// How many need each layer, by chain id.
    layers: HashMap<Digest, u64>,
}

impl DataRoot {
    fn usage(&self) -> Result<DockerUsage> {
        for error in self.layers.errors() {
            tracing::warn!("{}; leaving it out", error.chain());
        }
        let sizes: HashMap<Digest, u64> =
            self.layers.iter().map(|(id, layer)| (id.clone(), layer.size)).collect();
        let needed: Vec<(&Digest, Vec<Digest>)> =
            self.shown_images()?.into_iter().map(|id| (id, self.chain_of(id))).collect();
        let sharing = SharedSizes::new(&sizes, needed.iter().flat_map(|(_, chain)| chain));
        let mut images: Vec<_> = needed
            .iter()
            .map(|(id, chain)| {
                let ImageSize { size, unique } = sharing.share(chain);
                let shared = size - unique;
                DockerImageUsage {
                    reference: self.shown_name(id),
                    names: self.names_of(id),
                    digest: (*id).clone(),
                    size,
                    shared,
                    unique,
                }
            })
            .collect();
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        let containers = self.containers()?;
        let mut users: BTreeMap<&Digest, Vec<String>> = BTreeMap::new();
        for (id, chain) in &needed {
            for layer in chain {
                users.entry(layer).or_default().push(self.shown_name(id));
            }
        }
        let mut layers: Vec<_> = self
            .layers
            .iter()
            .map(|(chain_id, layer)| DockerLayerUsage {
                chain_id: chain_id.clone(),
                diff_id: layer.diff_id.clone(),
                directory: self.dir.path(paths::diff(&layer.cache_id)).display().to_string(),
                size: layer.size,
                images: users.remove(chain_id).unwrap_or_default(),
                containers: containers.layers.get(chain_id).copied().unwrap_or_default(),
            })
            .collect();
        layers.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.chain_id.cmp(&b.chain_id)));
        let is_referenced =
            |layer: &&DockerLayerUsage| !layer.images.is_empty() || layer.containers > 0;
        let referenced = layers.iter().filter(is_referenced).map(|layer| layer.size).sum();
        let bytes = sharing.all();
        let shares = self.shares(&layers, &containers)?;
        let directory = self.dir.path("").display().to_string();
        let directory = directory.trim_end_matches('/').to_owned();
        Ok(DockerUsage {
            directory,
            images,
            layers,
            bytes,
            referenced,
            unreferenced: bytes - referenced,
            shares,
        })
    }

    fn shown_name(&self, id: &Digest) -> String {
        self.names_of(id).into_iter().next().unwrap_or_else(|| format!("<none> ({})", id.short()))
    }

    /// The chain ids of an image's layers, each once. Nothing of an image that cannot be read.
    fn chain_of(&self, id: &Digest) -> Vec<Digest> {
        let chain = || -> Result<Vec<Digest>> {
            let bytes = self.config(id)?.ok_or_else(|| self.not_found(&format!("image {id}")))?;
            let config = ImageConfig::parse(&bytes)?;
            Ok(crate::config::chain_ids(&config.rootfs.diff_ids))
        };
        chain().unwrap_or_else(|error| {
            tracing::warn!("{}; leaving out its layers", error.chain());
            Vec::new()
        })
    }

    fn containers(&self) -> Result<Containers> {
        let mut containers = Containers::default();
        for name in self.dir.names(paths::MOUNTS)?.unwrap_or_default() {
            containers.count += 1;
            let text = |file: &str| -> Result<Option<String>> {
                let bytes = self.dir.small(&format!("{}/{name}/{file}", paths::MOUNTS), 1 << 10)?;
                Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
            };
            for file in ["mount-id", "init-id"] {
                containers.cache_ids.extend(text(file)?.filter(|id| is_cache_id(id)));
            }
            let mut next = text("parent")?.and_then(|text| text.parse::<Digest>().ok());
            // The stack ends where a damaged one would come round to a layer again.
            let mut seen = HashSet::new();
            while let Some(id) = next.filter(|id| seen.insert(id.clone())) {
                *containers.layers.entry(id.clone()).or_default() += 1;
                next = self.layers.get(&id).ok().flatten().and_then(|layer| layer.parent.clone());
            }
        }
        Ok(containers)
    }

    fn shares(
        &self,
        layers: &[DockerLayerUsage],
        containers: &Containers,
    ) -> Result<Vec<DiskShare>> {
        let of_layers = |holds: &str, wanted: &dyn Fn(&DockerLayerUsage) -> bool| {
            let of_kind: Vec<u64> =
                layers.iter().filter(|layer| wanted(layer)).map(|layer| layer.size).collect();
            DiskShare::new(paths::DRIVER, holds, of_kind.len() as u64, of_kind.iter().sum())
        };
        let mut shares = vec![
            of_layers("layers of images", &|layer| !layer.images.is_empty()),
            of_layers("layers of containers", &|layer| {
                layer.images.is_empty() && layer.containers > 0
            }),
            of_layers("unreferenced layers", &|layer| {
                layer.images.is_empty() && layer.containers == 0
            }),
        ];
        let known: HashSet<&str> = self.layers.iter().map(|(_, layer)| &*layer.cache_id).collect();
        let (mut writable, mut others) = ((0, 0), (0, 0));
        for name in self.dir.names(paths::DRIVER)?.unwrap_or_default() {
            // `l` has only short links to the others.
            if name == "l" || known.contains(&*name) {
                continue;
            }
            let kind =
                if containers.cache_ids.contains(&name) { &mut writable } else { &mut others };
            kind.0 += 1;
            // Not `merged`, where a running container has all files again.
            kind.1 += self.dir.size_of(&format!("{}/{name}/diff", paths::DRIVER));
        }
        shares.push(DiskShare::new(paths::DRIVER, "changes by containers", writable.0, writable.1));
        shares.push(DiskShare::new(paths::DRIVER, "build cache or leftovers", others.0, others.1));
        for name in self.dir.names("")?.unwrap_or_default() {
            if name != paths::DRIVER {
                shares.push(DiskShare::new(&name, "", 1, self.dir.size_of(&name)));
            }
        }
        shares
            .retain(|share| share.bytes > 0 || share.directory == paths::DRIVER && share.count > 0);
        shares.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        Ok(shares)
    }
}
