package digest

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"ashlar/internal/testenv"
)

// TestKnown has the sums of FIPS 180-2, appendix B.
func TestKnown(t *testing.T) {
	for text, want := range map[string]string{
		"":    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
	} {
		if got := Of([]byte(text)).String(); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		data := make([]byte, rng.IntN(100_000))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		want := Of(data)
		var copied bytes.Buffer
		d, n, err := Copy(&copied, iotest.HalfReader(bytes.NewReader(data)))
		if err != nil || d != want || n != int64(len(data)) || !bytes.Equal(copied.Bytes(), data) {
			t.Fatalf("Copy gives %s, %d, %v", d, n, err)
		}
		back, err := Parse(want.String())
		if err != nil || back != want || back.IsZero() {
			t.Fatalf("Parse gives %s, %v", back, err)
		}
	}
}

func TestJudge(t *testing.T) {
	cmd := exec.Command(testenv.RequireTool(t, "sha256sum"))
	cmd.Stdin = strings.NewReader("as in SHA256SUMS")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := Of([]byte("as in SHA256SUMS")).String() + "  -\n"; string(out) != want {
		t.Errorf("sha256sum says %q, want %q", out, want)
	}
}

func TestBrokenReader(t *testing.T) {
	broken := errors.New("broken")
	if d, _, err := Reader(iotest.ErrReader(broken)); !errors.Is(err, broken) || !d.IsZero() {
		t.Errorf("%s, %v", d, err)
	}
}

func TestJSON(t *testing.T) {
	type record struct {
		Sum Digest `json:"sum"`
	}
	for _, d := range []Digest{{}, Of([]byte("x"))} {
		data, err := json.Marshal(record{d})
		if err != nil {
			t.Fatal(err)
		}
		back := record{Of([]byte("other"))}
		if err := json.Unmarshal(data, &back); err != nil || back.Sum != d {
			t.Errorf("%s becomes %s, %v", data, back.Sum, err)
		}
	}
	kept := record{Of([]byte("kept"))}
	if err := json.Unmarshal([]byte(`{"sum":"abc"}`), &kept); err == nil || kept.Sum != Of([]byte("kept")) {
		t.Errorf("a wrong digest gives %s, %v", kept.Sum, err)
	}
}

// FuzzParse: what is taken is the text form or its upper case.
func FuzzParse(f *testing.F) {
	good := Of(nil).String()
	for _, seed := range []string{"", good, strings.ToUpper(good), good[1:], good + "0", "g" + good[1:], strings.Repeat("é", 32), " " + good[1:]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err == nil && d.String() != strings.ToLower(text) {
			t.Errorf("%q is read as %s", text, d)
		}
		if err != nil && !d.IsZero() {
			t.Errorf("%q gives %s with the error %v", text, d, err)
		}
	})
}
