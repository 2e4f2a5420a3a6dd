package attest

import (
	"path"

	"ashlar/internal/foundation/digest"
)

// The types of the record: the in-toto Attestation Framework v1 (spec/v1/
// statement.md, resource_descriptor.md) and SLSA provenance v1
// (slsa.dev/spec/v1.0/provenance).
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"
	buildType     = "urn:ashlar:build:v1" // doc/formats/attest.md says what its parameters are
)

type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     provenance `json:"predicate"`
}

type resource struct {
	Name             string            `json:"name,omitempty"`
	URI              string            `json:"uri,omitempty"`
	Digest           sha256            `json:"digest"`
	DownloadLocation string            `json:"downloadLocation,omitempty"`
	Annotations      map[string]string `json:"annotations,omitempty"`
}

type sha256 struct {
	SHA256 digest.Digest `json:"sha256"`
}

type provenance struct {
	BuildDefinition buildDefinition `json:"buildDefinition"`
	RunDetails      runDetails      `json:"runDetails"`
}

type buildDefinition struct {
	BuildType            string             `json:"buildType"`
	ExternalParameters   externalParameters `json:"externalParameters"`
	InternalParameters   internalParameters `json:"internalParameters"`
	ResolvedDependencies []resource         `json:"resolvedDependencies"`
}

// externalParameters are what the caller chose.
type externalParameters struct {
	Name       string   `json:"name"`
	Definition sha256   `json:"definition"`
	Lock       sha256   `json:"lock"`
	Arch       string   `json:"arch"`
	Targets    []string `json:"targets"`
	Epoch      int64    `json:"epoch"`
}

// internalParameters name all that reaches the images' bytes.
type internalParameters struct {
	Encoder string                   `json:"encoder"`
	Inputs  map[string]digest.Digest `json:"inputs"`
}

type runDetails struct {
	Builder builder `json:"builder"`
}

type builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version"`
}

// record says which inputs and which program made the files. It has no time
// of its own: whoever builds the same gets the same record.
func record(in Input) ([]byte, error) {
	return marshal(statement{
		Type: statementType, Subject: subjects(in), PredicateType: predicateType,
		Predicate: provenance{
			buildDefinition{
				BuildType: buildType,
				ExternalParameters: externalParameters{
					in.Manifest.Name, sha256{in.Lock.Definition}, sha256{in.Lock.Lock}, in.Manifest.Arch, in.Targets, in.Manifest.Epoch,
				},
				InternalParameters:   internalParameters{in.Manifest.Encoder, in.InputKeys},
				ResolvedDependencies: dependencies(in),
			},
			runDetails{builder{in.Builder.purl(), map[string]string{"ashlar": in.Builder.Version, "go": in.Builder.Go}}},
		},
	})
}

func subjects(in Input) []resource {
	var list []resource
	for _, f := range in.Files {
		list = append(list, resource{Name: f.Name, Digest: sha256{f.Digest}})
	}
	return list
}

// dependencies are the texts, the signed indexes, the packages, and our own
// program on the machine.
func dependencies(in Input) []resource {
	list := []resource{
		{Name: "ashlar.toml", Digest: sha256{in.Lock.Definition}},
		{Name: "ashlar.lock", Digest: sha256{in.Lock.Lock}},
	}
	for _, r := range in.Releases {
		d := resource{Name: r.Archive + " " + r.Suite + " InRelease", Digest: sha256{r.Digest}}
		if len(r.Mirrors) > 0 {
			d.URI = r.Mirrors[0] + "/dists/" + r.Suite + "/InRelease"
		}
		list = append(list, d)
	}
	for _, p := range in.Packages {
		list = append(list, resource{
			Name: path.Base(p.Path), URI: in.purl(p), Digest: sha256{p.Digest}, DownloadLocation: p.URL,
			Annotations: map[string]string{"part": p.Part},
		})
	}
	return append(list, resource{Name: in.Device.Name, URI: in.Device.purl(), Digest: sha256{in.Device.Digest}})
}
