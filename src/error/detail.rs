//! The conditions behind errors.

/// The condition behind an error, where it has a known remedy or the program handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorDetail {
    /// A name contains a user or password.
    CredentialInReference,
    /// One credential was given for several registries.
    AmbiguousCredential,
    /// The local store has no image with this name.
    NotInStore,
    /// A manifest in the local store is damaged or missing.
    UnreadableManifest,
    /// A blob in the local store or a layout is damaged or missing.
    DamagedBlob,
    /// The location of the local store is not set.
    NoStorePath,
    /// The index has no manifest for the platform.
    PlatformNotFound,
    /// The index has no runnable image for any platform.
    NothingRuns,
    /// Manifests of the index are missing; a pull may fetch them.
    MissingChildren,
    /// Some manifests of the index are missing, others exist.
    ChildrenGone,
    /// The registry does not know the repository.
    RepositoryNotFound,
    /// The registry does not have the manifest.
    ManifestNotFound,
    /// The registry or its token server requires a credential, or another one.
    CredentialRequired,
    /// The credential has expired.
    ExpiredCredential,
    /// The registry denies access to every user.
    Forbidden,
    /// A secret would be sent unencrypted.
    SecretOverHttp,
    /// The credential was rejected.
    InvalidCredential,
    /// The registry does not list its repositories for this user.
    CatalogUnsupported,
    /// The registry deletes a tag only together with all other tags of its manifest.
    TagDeleteUnsupported,
    /// More would be deleted than the caller allows.
    DeletionLimit,
    /// Tagging across repositories would require copying layers.
    CrossRepositoryTag,
    /// The registry limits the request rate.
    RateLimited,
    /// Not more of the registry's limit is left than the caller leaves to others.
    RateLimitFloor,
    /// The registry refers to a host in an internal network, outside of which it is itself.
    InternalHost,
    /// The server's certificate is not trusted.
    UntrustedCertificate,
    /// The server does not speak TLS.
    NotTls,
    /// Nothing listens at the address.
    ConnectionRefused,
    /// The name of the host has no address.
    HostNotFound,
    /// The disk of the store is full.
    StoreDiskFull,
    /// The disk that an archive is written to is full.
    ArchiveDiskFull,
    /// The disk that a pipe or a compressed archive is unpacked to is full.
    SpoolDiskFull,
    /// The reader closed stdout.
    BrokenPipe,
    /// The disk that layers are unpacked to is full.
    UnpackDiskFull,
    /// The disk of a file or directory that a command writes is full.
    OutputDiskFull,
    /// An interrupted unpack has left an incomplete image in the directory.
    IncompleteRoot,
    /// The archive omits blobs that its recipient was expected to have.
    BlobOmitted,
    /// The archive is not a tar of an image layout.
    NotOciArchive,
    /// The archive was not written by `docker save`.
    NotDockerArchive,
    /// The document is not an image, but can be inspected.
    NotAnImage,
    /// A part of a layout that no digest verifies is a symbolic link to a path outside.
    LinkOutOfLayout,
    /// A layer or archive needs a larger zstd window than the limit allows.
    ZstdWindow,
    /// The decompressed bytes of a layer are compressed, and not a tar.
    CompressedTwice,
    /// The path of a layout is a file.
    FileForLayout,
}
