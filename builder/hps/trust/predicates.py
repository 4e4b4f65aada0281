"""Names of the statements that hps signs (in-toto attestation, spec/predicates)."""

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
# Read, never written: `cosign attest` still makes it for images. Its fields are those of v1.
OLDER_STATEMENT_TYPE = "https://in-toto.io/Statement/v0.1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

PROVENANCE = "https://slsa.dev/provenance/v1"
SBOM = "https://cyclonedx.org/bom"
SIGNATURE = "https://sigstore.dev/cosign/sign/v1"  # what `cosign sign` writes and verifies
MODEL = "https://model_signing/signature/v1.0"  # OpenSSF model signing
# What a build step came out as (docs/reference/cache.md). Its subject is the step's derivation,
# the digest of canonical JSON behind a domain: no image, file or other document has that digest,
# so that no client takes such a statement for a signature of one.
TRACE = "urn:hps:trace:1"

# What a key of a role may sign. A key signs nothing else: cosign takes a statement of any kind
# for a signature, so a test's or a revocation's statement must never come from a release key.
ROLES = {
    "build": (PROVENANCE, SBOM, SIGNATURE, TRACE),
    "rebuild": (PROVENANCE,),
    "file": (SIGNATURE,),
    "model": (MODEL,),
}
