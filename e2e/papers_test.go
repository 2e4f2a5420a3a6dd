package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
	"google.golang.org/protobuf/encoding/protojson"

	"ashlar/internal/testenv"
)

// TestPapers builds the web server and reads what lies beside its images with
// the tools of those who defined the forms: every locked package is found in
// each, with its digest, and the sums cover all.
func TestPapers(t *testing.T) {
	dir := example(t, "web")
	must(t, "build", dir)
	out := filepath.Join(dir, "out")
	check := exec.Command(testenv.RequireTool(t, "sha256sum"), "--check", "--strict", "--quiet", "SHA256SUMS")
	check.Dir = out
	if text, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, text)
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(sums(t, dir), "\n"); lines != len(entries)-1 {
		t.Errorf("%d sums of %d files", lines, len(entries)-1)
	}
	packages := lockedPackages(t, filepath.Join(dir, "ashlar.lock"))
	const least = 70
	if len(packages) < least {
		t.Fatalf("%d packages in the lock", len(packages))
	}
	inBill, inRecord := packagesOfBill(t, out), packagesOfRecord(t, out)
	listed := read(t, filepath.Join(out, "packages.manifest"))
	for _, p := range packages {
		if !inBill[p.Name+" "+p.Version+" "+p.SHA256] {
			t.Errorf("the bill of materials lacks %s %s", p.Name, p.Version)
		}
		if !inRecord[p.SHA256] {
			t.Errorf("the record lacks %s %s", p.Name, p.Version)
		}
		if !strings.Contains(listed, p.Name+"\t"+p.Version+"\t"+p.Arch+"\n") {
			t.Errorf("the list lacks %s %s", p.Name, p.Version)
		}
	}
	checkSizes(t, dir)
}

// sizeRow is a row of ashlar size.
type sizeRow struct {
	Name         string
	Files        int
	Stored, Size int64
}

// checkSizes: every byte of the images is somewhere, and belongs to somebody.
func checkSizes(t *testing.T, dir string) {
	t.Helper()
	var report struct {
		sizeRow
		Owners                       string
		Parts, Packages, Directories []sizeRow
	}
	if err := json.Unmarshal([]byte(must(t, "--json", "--offline", "size", dir).stdout), &report); err != nil {
		t.Fatal(err)
	}
	var whole, inPackages int64
	for _, p := range report.Parts {
		info, err := os.Stat(filepath.Join(dir, "out", p.Name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != p.Stored {
			t.Errorf("%s has %d bytes, the report says %d", p.Name, info.Size(), p.Stored)
		}
		whole += p.Stored
	}
	rows := map[string]sizeRow{}
	for _, p := range report.Packages {
		inPackages += p.Stored
		rows[p.Name] = p
	}
	if report.Owners != "lock" || len(report.Parts) != 4 || report.Stored != whole || inPackages != whole {
		t.Errorf("%d parts of %d bytes, the report has %d, its packages %d", len(report.Parts), whole, report.Stored, inPackages)
	}
	if nginx, made := rows["nginx"], rows["(build)"]; nginx.Stored < 200_000 || nginx.Stored > nginx.Size/2+nginx.Size/4 || made.Stored > whole/20 {
		t.Errorf("nginx: %+v; of nobody: %+v", nginx, made)
	}
	if overlay := rows["(definition)"]; overlay.Files != 1 || overlay.Stored == 0 {
		t.Errorf("the page: %+v", overlay)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

type lockedPackage struct{ Name, Version, Arch, SHA256 string }

// lockedPackages are those of which an image has files.
func lockedPackages(t *testing.T, lock string) []lockedPackage {
	t.Helper()
	var l struct {
		Arches map[string]struct{ Packages, Kernel, Boot []lockedPackage }
	}
	if err := json.Unmarshal([]byte(read(t, lock)), &l); err != nil {
		t.Fatal(err)
	}
	a := l.Arches["amd64"]
	return append(append(a.Packages, a.Kernel...), a.Boot...)
}

func packagesOfBill(t *testing.T, out string) map[string]bool {
	t.Helper()
	doc, err := spdxjson.Read(strings.NewReader(read(t, filepath.Join(out, "sbom.spdx.json"))))
	if err == nil {
		err = spdxlib.ValidateDocument(doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	licensed := 0
	for _, p := range doc.Packages {
		for _, sum := range p.PackageChecksums {
			found[p.PackageName+" "+p.PackageVersion+" "+sum.Value] = true
		}
		if p.PackageLicenseDeclared != "NOASSERTION" {
			licensed++
		}
	}
	const least = 50
	if licensed < least {
		t.Errorf("only %d packages have a licence", licensed)
	}
	return found
}

func packagesOfRecord(t *testing.T, out string) map[string]bool {
	t.Helper()
	var s intoto.Statement
	var p provenance.Provenance
	err := protojson.Unmarshal([]byte(read(t, filepath.Join(out, "build.intoto.json"))), &s)
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	predicate, err := protojson.Marshal(s.Predicate)
	if err == nil {
		err = protojson.Unmarshal(predicate, &p)
	}
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	var subjects strings.Builder
	for _, r := range s.Subject {
		subjects.WriteString(r.Digest["sha256"] + "  " + r.Name + "\n")
	}
	// The sums are the subjects and the record.
	for _, line := range strings.SplitAfter(read(t, filepath.Join(out, "SHA256SUMS")), "\n") {
		if !strings.HasSuffix(line, "  build.intoto.json\n") && !strings.Contains(subjects.String(), line) {
			t.Errorf("the record does not speak of %s", line)
		}
	}
	found := map[string]bool{}
	for _, d := range p.BuildDefinition.ResolvedDependencies {
		found[d.Digest["sha256"]] = true
	}
	return found
}
