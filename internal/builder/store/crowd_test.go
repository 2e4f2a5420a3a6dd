package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ashlar/internal/builder/store"
	"ashlar/internal/foundation/digest"
)

// crowdVariable makes the test binary one of a crowd: it names the store.
const crowdVariable = "ASHLAR_TEST_CROWD"

const crowdLimit = 40 << 12

func TestMain(m *testing.M) {
	if dir := os.Getenv(crowdVariable); dir != "" {
		seed, err := strconv.ParseUint(os.Args[1], 10, 64)
		if err == nil {
			err = crowdMember(dir, seed)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crowdMember builds some times: makes or finds records and their blobs, needs
// them all until the end, and trims then.
func crowdMember(dir string, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 6 {
		s, err := store.Open(dir)
		if err != nil {
			return err
		}
		var needed []digest.Digest
		for range 8 {
			d, err := crowdStep(s, rng.IntN(60))
			if err != nil {
				return err
			}
			needed = append(needed, d)
			time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
		}
		for _, d := range needed {
			if err := whole(s, d); err != nil {
				return fmt.Errorf("lost while it was used: %w", err)
			}
		}
		if _, err := s.Trim(crowdLimit, nil, texts); err != nil {
			return err
		}
		for _, d := range needed {
			if err := whole(s, d); err != nil {
				return fmt.Errorf("lost by its own trimming: %w", err)
			}
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// crowdStep gives the blob of a number, made unless there is a record that is
// as it says.
func crowdStep(s *store.Store, n int) (digest.Digest, error) {
	text := bytes.Repeat(fmt.Appendf(nil, "content %d ", n), 500)
	key := digest.Of(fmt.Appendf(nil, "key %d", n)).String()
	data, ok, err := s.Record("unpack", key)
	if err != nil {
		return digest.Digest{}, err
	}
	if d, err := digest.Parse(string(data)); ok && err == nil && s.HasSize(d, int64(len(text))) {
		return d, nil
	}
	d, err := s.PutBytes(text)
	if err == nil {
		err = s.SetRecord("unpack", key, []byte(d.String()))
	}
	return d, err
}

func whole(s *store.Store, d digest.Digest) error {
	r, err := s.Blob(d).Open()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if digest.Of(data) != d {
		return fmt.Errorf("blob %s is damaged", d)
	}
	return nil
}

func member(t *testing.T, dir string, seed int) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, strconv.Itoa(seed))
	cmd.Env = append(os.Environ(), crowdVariable+"="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

// TestCrowd has processes share a store that is far too small for them: none
// loses what it uses, and the last leaves it as small as it shall be.
func TestCrowd(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		var crowd []*exec.Cmd
		var says []*bytes.Buffer
		for n := range 5 {
			cmd, out := member(t, dir, 10*round+n)
			crowd, says = append(crowd, cmd), append(says, out)
		}
		for n, cmd := range crowd {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, says[n])
			}
		}
	}
	cmd, out := member(t, dir, 99)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if u, err := s.Usage(texts); err != nil || u.Bytes() > crowdLimit {
		t.Errorf("%d bytes are left, %v", u.Bytes(), err)
	}
}

// TestKilledCollector kills processes while they trim: every record that is
// left has its blob whole, or it is seen to be gone.
func TestKilledCollector(t *testing.T) {
	dir := t.TempDir()
	for n := range 12 {
		cmd, out := member(t, dir, n)
		time.Sleep(time.Duration(5+7*n) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "killed") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 60 {
		d, err := crowdStep(s, n)
		if err == nil {
			err = whole(s, d)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Trim(crowdLimit, nil, store.Meaning{}); err != nil {
		t.Errorf("after them nobody can trim: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(entries) > 0 {
		t.Errorf("tmp has %v, %v", entries, err)
	}
}
