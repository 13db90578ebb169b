//! What exactly is the matter.

/// What exactly is the matter, where the kind alone does not tell what would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorDetail {
    /// A user or password stands in a name.
    CredentialInReference,
    /// One credential was given for several registries.
    AmbiguousCredential,
    /// The local store has no image of the name.
    NotInStore,
    /// Nothing says where the local store is.
    NoStorePath,
    /// The index lacks the platform.
    PlatformNotFound,
    /// The index has nothing that runs, on any platform.
    NothingRuns,
    /// The index names manifests that are not there; a pull could bring them.
    MissingChildren,
    /// The index names manifests that are not there, and others that are.
    ChildrenGone,
    /// The registry does not know the repository.
    RepositoryNotFound,
    /// The registry does not have the manifest.
    ManifestNotFound,
    /// The registry, or its token server, wants a credential, or another one.
    CredentialRequired,
    /// The credential was good once.
    ExpiredCredential,
    /// The registry refuses it for every user.
    Forbidden,
    /// A secret would be sent where others can read it.
    SecretOverHttp,
    /// The credential that was tried is no good.
    InvalidCredential,
    /// The registry has no list of its repositories for this user.
    CatalogUnsupported,
    /// The registry deletes a tag only with all others of its manifest.
    TagDeleteUnsupported,
    /// Layers would have to move.
    CrossRepositoryTag,
    /// The registry was asked too often.
    RateLimited,
    /// The registry names a host in a network that it is not in itself.
    InternalHost,
    /// The server's certificate is not trusted.
    UntrustedCertificate,
    /// The server does not speak TLS.
    NotTls,
    /// The disk of the store is full.
    StoreDiskFull,
    /// The disk that an archive is written to is full.
    ArchiveDiskFull,
    /// The disk that a pipe or a compressed archive is unpacked to is full.
    SpoolDiskFull,
    /// The reader of standard output closed it.
    BrokenPipe,
    /// The disk that layers are unpacked to is full.
    UnpackDiskFull,
    /// An unpack that was killed has left a part of an image where it is made in its place.
    IncompleteRoot,
    /// The archive omits blobs that its recipient was expected to have.
    BlobOmitted,
    /// An archive is no tar of an image layout.
    NotOciArchive,
    /// An archive is nothing that docker wrote.
    NotDockerArchive,
    /// It is no image, but something else that can be looked at.
    NotAnImage,
    /// A part of a layout that nothing vouches for is a link to elsewhere.
    LinkOutOfLayout,
    /// A file was named where a layout should be.
    FileForLayout,
}
