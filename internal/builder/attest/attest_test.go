package attest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/package-url/packageurl-go"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdxlib"
	"google.golang.org/protobuf/encoding/protojson"

	"ashlar/internal/builder/attest"
	"ashlar/internal/builder/lock"
	"ashlar/internal/contract/imageinfo"
	"ashlar/internal/foundation/digest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// of gives a digest that tells where it is found again.
func of(text string) digest.Digest { return digest.Of([]byte(text)) }

func pkg(part, archive, name, version, arch string) attest.Package {
	return attest.Package{
		Package: lock.Package{
			Name: name, Version: version, Arch: arch, Archive: archive, Path: "pool/main/" + name + ".deb", Size: 1000, Digest: of(name + version),
		},
		Part: part, URL: "http://mirror.example/" + archive + "/pool/main/" + name + ".deb", Own: !strings.HasPrefix(archive, "extra"),
	}
}

// sample has one of everything that the papers tell apart.
func sample() attest.Input {
	nginx := pkg(attest.PartRoot, "debian", "nginx", "1.26.3-3+deb13u1", "amd64")
	nginx.Facts = attest.Facts{
		Maintainer: "Debian Nginx Maintainers <team@example.org>", Homepage: "https://nginx.org", Summary: "small, <powerful> & scalable",
		License: "BSD-2-Clause AND LicenseRef-nginx-x", Texts: map[string]string{"LicenseRef-nginx-x": "Do \"what\"\nyou like."},
	}
	libc := pkg(attest.PartRoot, "debian-security", "libc6", "2.41-12", "amd64")
	libc.Source, libc.SourceVersion = "glibc", "2.41-12"
	odd := pkg(attest.PartRoot, "extra", "libstdc++6", "1:2~rc1+b1", "all")
	odd.Homepage = "not a place"
	return attest.Input{
		Manifest: imageinfo.Manifest{
			Name: "web", Arch: "amd64", Lock: of("lock").String(), Epoch: 1577836800, Init: "ashlar", Encoder: "ashlar-zstd 1 default", Tool: "0.1.0",
		},
		Files: []imageinfo.File{
			{Name: "disk.img", Size: 5, Digest: of("disk")}, {Name: "manifest.json", Size: 4, Digest: of("manifest")},
			{Name: "modules.img", Size: 3, Digest: of("modules")}, {Name: "root.img", Size: 2, Digest: of("root")},
		},
		Packages: []attest.Package{
			pkg(attest.PartBoot, "debian", "grub-pc-bin", "2.12-9", "amd64"), odd, nginx,
			pkg(attest.PartKernel, "debian", "linux-image-cloud-amd64", "6.12.117-1", "amd64"), libc,
			pkg(attest.PartBoot, "debian", "libc6", "2.41-12", "amd64"),
		},
		Distro: "debian", Suite: "trixie",
		Device:   attest.Program{Name: "ashlar-init", Version: "0.1.0", Digest: of("init"), Go: "1.26.8", Modules: []attest.Module{{"golang.org/x/sys", "v0.49.0"}, {"example.org/a/v2", "v2.0.0+incompatible"}}},
		Builder:  attest.Program{Name: "ashlar", Version: "0.1.0", Digest: of("ashlar"), Go: "1.26.8"},
		Lock:     attest.Locked{Definition: of("definition"), Lock: of("lock")},
		Releases: []lock.Release{{Archive: "debian", Mirrors: []string{"http://mirror.example/debian"}, Suite: "trixie", Digest: of("InRelease")}},
		Targets:  []string{"disk"}, InputKeys: map[string]digest.Digest{"program": of("ashlar"), "files": of("files"), "epoch": of("epoch")},
	}
}

func papers(t *testing.T, in attest.Input) map[string][]byte {
	t.Helper()
	all, err := attest.Papers(in)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string][]byte{}
	for _, p := range all {
		byName[p.Name] = p.Data
	}
	return byName
}

// TestGolden holds every byte of the papers; -update writes them anew.
func TestGolden(t *testing.T) {
	for name, data := range papers(t, sample()) {
		file := filepath.Join("testdata", "golden", name)
		if *update {
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, want) {
			t.Errorf("%s is not as it was; it is now\n%s", name, data)
		}
	}
}

// TestOrderOfPackages: the order in which packages are configured is no matter.
func TestOrderOfPackages(t *testing.T) {
	want := papers(t, sample())
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		in := sample()
		rng.Shuffle(len(in.Packages), func(i, j int) { in.Packages[i], in.Packages[j] = in.Packages[j], in.Packages[i] })
		for name, data := range papers(t, in) {
			if !bytes.Equal(data, want[name]) {
				t.Fatalf("%s depends on the order of packages", name)
			}
		}
	}
}

// TestEveryInputShows: no two builds that differ share a namespace or a record.
func TestEveryInputShows(t *testing.T) {
	seen := map[string]string{}
	note := func(what string, in attest.Input) {
		t.Helper()
		p := papers(t, in)
		doc := readSPDX(t, p[attest.SBOMFile])
		for _, key := range []string{doc.DocumentNamespace, string(p[attest.RecordFile])} {
			if before, ok := seen[key]; ok {
				t.Errorf("%s and %s are not told apart", what, before)
			}
			seen[key] = what
		}
	}
	note("the sample", sample())
	for _, x := range []struct {
		name   string
		change func(*attest.Input)
	}{
		{"another package", func(in *attest.Input) { in.Packages[0].Digest = of("other") }},
		{"another file", func(in *attest.Input) { in.Files[0].Digest = of("other") }},
		{"another program", func(in *attest.Input) { in.Builder.Digest = of("other") }},
		{"another name", func(in *attest.Input) { in.Manifest.Name = "shop" }},
	} {
		in := sample()
		x.change(&in)
		note(x.name, in)
	}
}

func readSPDX(t *testing.T, data []byte) *spdx.Document {
	t.Helper()
	doc, err := spdxjson.Read(bytes.NewReader(data))
	if err == nil {
		err = spdxlib.ValidateDocument(doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestSPDX reads the bill with SPDX's own reader, which keeps all that it says.
func TestSPDX(t *testing.T) {
	in := sample()
	data := papers(t, in)[attest.SBOMFile]
	doc := readSPDX(t, data)
	if doc.CreationInfo.Created != "2020-01-01T00:00:00Z" || doc.SPDXVersion != "SPDX-2.3" {
		t.Errorf("%s of %s", doc.SPDXVersion, doc.CreationInfo.Created)
	}
	described, err := spdxlib.GetDescribedPackageIDs(doc)
	if err != nil || fmt.Sprint(described) != "[Image]" {
		t.Errorf("the document describes %v, %v", described, err)
	}
	for _, want := range in.Packages {
		p := findPackage(t, doc, want)
		if p.PackageDownloadLocation != want.URL || len(p.PackageChecksums) != 1 || p.PackageChecksums[0].Value != want.Digest.String() {
			t.Errorf("%s: %s, %v", want.Name, p.PackageDownloadLocation, p.PackageChecksums)
		}
	}
	var again bytes.Buffer
	if err := spdxjson.Write(doc, &again); err != nil {
		t.Fatal(err)
	}
	var ours, theirs any
	if err := json.Unmarshal(data, &ours); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again.Bytes(), &theirs); err != nil {
		t.Fatal(err)
	}
	lost(t, "document", ours, theirs)
}

// findPackage looks up the element that the part's file contains.
func findPackage(t *testing.T, doc *spdx.Document, want attest.Package) *spdx.Package {
	t.Helper()
	file := map[string]string{attest.PartRoot: "root.img", attest.PartKernel: "web", attest.PartBoot: "web"}[want.Part]
	byID := map[string]*spdx.Package{}
	for _, p := range doc.Packages {
		byID[string(p.PackageSPDXIdentifier)] = p
	}
	for _, r := range doc.Relationships {
		a, b := byID[string(r.RefA.ElementRefID)], byID[string(r.RefB.ElementRefID)]
		if r.Relationship == "CONTAINS" && a != nil && a.PackageName == file && b.PackageName == want.Name && b.PackageVersion == want.Version {
			return b
		}
	}
	t.Fatalf("%s does not contain %s %s", file, want.Name, want.Version)
	return nil
}

// lost reports what a foreign reader did not keep: a key it does not know.
func lost(t *testing.T, where string, ours, theirs any) {
	t.Helper()
	switch a := ours.(type) {
	case map[string]any:
		b, _ := theirs.(map[string]any)
		for key, value := range a {
			if _, ok := b[key]; !ok && value != false { // the writer leaves out what is false
				t.Errorf("%s.%s is lost", where, key)
				continue
			}
			lost(t, where+"."+key, value, b[key])
		}
	case []any:
		b, _ := theirs.([]any)
		if len(a) != len(b) {
			t.Errorf("%s has %d elements, read are %d", where, len(a), len(b))
			return
		}
		for i := range a {
			lost(t, fmt.Sprintf("%s[%d]", where, i), a[i], b[i])
		}
	default:
		if ours != theirs && ours != false {
			t.Errorf("%s: %v became %v", where, ours, theirs)
		}
	}
}

// TestRecord reads the record with in-toto's own types, which know no other keys.
func TestRecord(t *testing.T) {
	in := sample()
	all := papers(t, in)
	var s intoto.Statement
	if err := protojson.Unmarshal(all[attest.RecordFile], &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	subjects := map[string]string{}
	for _, r := range s.Subject {
		subjects[r.Name] = r.Digest["sha256"]
	}
	for _, f := range in.Files {
		if subjects[f.Name] != f.Digest.String() {
			t.Errorf("subject %s has %s", f.Name, subjects[f.Name])
		}
	}
	for _, name := range []string{attest.PackagesFile, attest.ManifestFile, attest.SBOMFile} {
		if subjects[name] != digest.Of(all[name]).String() {
			t.Errorf("subject %s has %s", name, subjects[name])
		}
	}
	if len(subjects) != len(in.Files)+3 || len(s.Subject) != len(subjects) {
		t.Errorf("%d subjects", len(s.Subject))
	}
	predicate, err := protojson.Marshal(s.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p provenance.Provenance
	if err := protojson.Unmarshal(predicate, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	if p.RunDetails.Metadata != nil {
		t.Error("the record has a time or a number of its own")
	}
	dependencies := map[string]bool{}
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		dependencies[d.DownloadLocation+" "+d.Digest["sha256"]] = true
	}
	for _, want := range in.Packages {
		if !dependencies[want.URL+" "+want.Digest.String()] {
			t.Errorf("%s is no dependency", want.Name)
		}
	}
}

// TestManifest is what grep, cut and a person read.
func TestManifest(t *testing.T) {
	const want = "libc6\t2.41-12\tamd64\nlibstdc++6\t1:2~rc1+b1\tall\nnginx\t1.26.3-3+deb13u1\tamd64\n" +
		"linux-image-cloud-amd64\t6.12.117-1\tamd64\ngrub-pc-bin\t2.12-9\tamd64\n"
	if got := string(papers(t, sample())[attest.ManifestFile]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestPURL: the reference parser gives back the fields, and its own canonical
// form is ours.
func TestPURL(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const letters = "abz019+.-~:"
	in := sample()
	in.Packages = nil
	for n := range 200 {
		version := "1"
		for range rng.IntN(12) {
			version += string(letters[rng.IntN(len(letters))])
		}
		name := fmt.Sprintf("p%d", n) + strings.Repeat("+", rng.IntN(3)) + strings.Repeat("-x.y", rng.IntN(2))
		in.Packages = append(in.Packages, pkg(attest.PartRoot, []string{"debian", "extra+1"}[n%2], name, version, "amd64"))
	}
	doc := readSPDX(t, papers(t, in)[attest.SBOMFile])
	checked := 0
	for _, p := range doc.Packages {
		for n, ref := range p.PackageExternalReferences {
			u, err := packageurl.FromString(ref.Locator)
			if err != nil {
				t.Errorf("%s: %v", ref.Locator, err)
				continue
			}
			if u.ToString() != ref.Locator {
				t.Errorf("%s is canonically %s", ref.Locator, u.ToString())
			}
			if u.Type != "deb" {
				continue
			}
			q := u.Qualifiers.Map()
			arch := []string{"amd64", "source"}[n]
			if u.Name != p.PackageName || u.Version != p.PackageVersion || u.Namespace != "debian" || q["arch"] != arch || q["distro"] != "trixie" {
				t.Errorf("%s is read as %+v", ref.Locator, u)
			}
			extra := strings.HasPrefix(p.PackageDownloadLocation, "http://mirror.example/extra+1/")
			if want := map[bool]string{true: "http://mirror.example/extra+1"}[extra && n == 0]; q["repository_url"] != want {
				t.Errorf("%s: repository %q, want %q", ref.Locator, q["repository_url"], want)
			}
			checked++
		}
	}
	if checked != 2*len(in.Packages) {
		t.Errorf("%d package URLs of %d packages", checked, len(in.Packages))
	}
}

// TestNothing: an image without packages or a kernel has papers, too.
func TestNothing(t *testing.T) {
	in := sample()
	in.Packages, in.Files, in.Device = nil, in.Files[3:], attest.Program{}
	all := papers(t, in)
	readSPDX(t, all[attest.SBOMFile])
	if len(all[attest.ManifestFile]) != 0 || !slices.Contains(strings.Fields(string(all[attest.PackagesFile])), "[]") {
		t.Errorf("%q, %s", all[attest.ManifestFile], all[attest.PackagesFile])
	}
}
