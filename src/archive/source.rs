//! An archive as something to read from.

use std::future::ready;
use std::io::Read;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;

use super::docker::{Built, Recipe};
use super::piece::Piece;
use super::tarball::Lack;
use super::{Archive, Held, Image, Inner, oci, unusable};
use crate::checked::verify;
use crate::content::{Body, ByteStream, Name, Source};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::document::{DOCUMENT_LIMIT, Document};
use crate::error::{Error, ErrorKind, Result};
use crate::media::MediaType;

/// What is read at once, in bytes.
const PIECE: usize = 256 << 10;

/// What a reader gives, in pieces.
fn pieces(reader: Box<dyn Read + Send>, place: String) -> ByteStream<'static> {
    Box::pin(stream::try_unfold((reader, place), |(mut reader, place)| async move {
        // Reading a file never waits, so without this other tasks would.
        tokio::task::consume_budget().await;
        let mut piece = vec![0; PIECE];
        let read = reader.read(&mut piece).map_err(|error| {
            Error::new(ErrorKind::Store, "read the archive").at(&place).caused_by(error)
        })?;
        piece.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(piece), (reader, place))))
    }))
}

impl Inner {
    /// What `look` finds in the images that are made of files; those whose manifest is not made yet come last.
    fn in_built<T>(&self, look: impl Fn(&Built) -> Option<T>) -> Result<Option<T>> {
        let recipes = || {
            self.images.iter().filter_map(|image| match &image.content {
                Held::Files(recipe) => Some(recipe),
                Held::Document(_) => None,
            })
        };
        if let Some(found) = recipes().filter_map(Recipe::built).find_map(&look) {
            return Ok(Some(found));
        }
        // One that is broken must not hide what the others have.
        let mut broken = None;
        for recipe in recipes() {
            match recipe.build(&self.tar) {
                Ok(built) => {
                    if let Some(found) = look(built) {
                        return Ok(Some(found));
                    }
                }
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        broken.map_or(Ok(None), Err)
    }

    /// Where the blob with this digest is.
    pub(super) fn piece(&self, digest: &Digest) -> Result<Piece> {
        let name = oci::name_of(digest)?;
        if let Some(piece) = self.in_built(|built| built.pieces.get(digest).cloned())? {
            return Ok(piece);
        }
        match self.tar.find(&name) {
            Ok(span) => Ok(Piece::plain(span)),
            Err(Lack::Missing) => Err(Error::new(ErrorKind::NotFound, format!("blob {digest}"))
                .because("not in the archive")),
            Err(Lack::Unusable(why)) => Err(unusable(&name, why)),
        }
        .map_err(|error| error.at(&self.place))
    }

    fn bytes(&self, digest: &Digest, limit: u64) -> Result<Bytes> {
        let piece = self.piece(digest)?;
        if piece.size > limit {
            let why = format!("larger than {limit} bytes, the limit");
            return Err(Error::new(ErrorKind::Document, format!("blob {digest}"))
                .at(&self.place)
                .because(why));
        }
        let mut bytes = Vec::new();
        let read =
            piece.read(&self.tar, 0, limit).and_then(|mut read| read.read_to_end(&mut bytes));
        read.map_err(|error| {
            Error::new(ErrorKind::Store, "read the archive").at(&self.place).caused_by(error)
        })?;
        Ok(bytes.into())
    }

    /// The document of this descriptor, verified.
    pub(super) fn described(&self, descriptor: &Descriptor) -> Result<Document> {
        let built = self.built(&descriptor.digest)?;
        let bytes = match built {
            Some(document) => document.bytes().clone(),
            None => self.bytes(&descriptor.digest, DOCUMENT_LIMIT)?,
        };
        Document::described(bytes, descriptor).map_err(|error| error.at(&self.place))
    }

    /// A manifest that was made of files, by its digest.
    fn built(&self, digest: &Digest) -> Result<Option<Document>> {
        self.in_built(|built| Some(&built.document).filter(|own| own.digest() == digest).cloned())
    }

    fn by_digest(&self, digest: &Digest) -> Result<Document> {
        if let Some(document) = self.built(digest)? {
            return Ok(document);
        }
        let bytes = self.bytes(digest, DOCUMENT_LIMIT)?;
        Document::received(bytes, &MediaType::from(""), Some(digest))
            .map_err(|error| error.at(&self.place))
    }

    fn find(&self, name: &Name) -> Result<Option<&Image>> {
        match name {
            Name::Tag(text) | Name::Ref(text) => self.named(text),
            Name::Sole => self.sole().map(Some),
            Name::Digest(_) => Ok(None),
        }
    }

    fn resolve(&self, name: &Name) -> Result<Document> {
        if let Name::Digest(digest) = name {
            return self.by_digest(digest);
        }
        let image = self.find(name)?.ok_or_else(|| self.lacks(&name.to_string()))?;
        self.document_of(image).map_err(|error| error.at(&self.place))
    }

    fn head(&self, name: &Name) -> Result<Option<Descriptor>> {
        match self.resolve(name) {
            Ok(document) => Ok(Some(document.descriptor().clone())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Source for Archive {
    fn resolve<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.0.resolve(name)))
    }

    fn document<'a>(&'a self, descriptor: &'a Descriptor) -> BoxFuture<'a, Result<Document>> {
        Box::pin(ready(self.0.described(descriptor)))
    }

    fn head<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        Box::pin(ready(self.0.head(name)))
    }

    fn blob<'a>(&'a self, descriptor: &'a Descriptor, from: u64) -> BoxFuture<'a, Result<Body>> {
        let opened = self.0.piece(&descriptor.digest).and_then(|piece| {
            // One byte more than there should be, so that a blob that is too long does not pass.
            let most = descriptor.size.saturating_add(1).saturating_sub(from);
            let reader = piece.read(&self.0.tar, from, most).map_err(|error| {
                Error::new(ErrorKind::Store, "read the archive").at(&self.0.place).caused_by(error)
            })?;
            Ok(Body { start: from, stream: pieces(reader, self.0.place.clone()) })
        });
        Box::pin(ready(opened))
    }

    fn stat<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Descriptor>> {
        let described = |piece: Piece| {
            Descriptor::new("application/octet-stream".into(), digest.clone(), piece.size)
        };
        Box::pin(ready(self.0.piece(digest).map(described)))
    }

    fn at_hand<'a>(
        &'a self,
        descriptor: &'a Descriptor,
        limit: u64,
    ) -> BoxFuture<'a, Result<Option<Bytes>>> {
        let read = self.0.bytes(&descriptor.digest, limit);
        Box::pin(ready(Ok(read.ok().filter(|bytes| verify(descriptor, bytes).is_ok()))))
    }

    fn place(&self) -> String {
        self.0.place.clone()
    }
}
