// Package fetch brings files of known digest from a web server: the images of a
// machine that starts from the network.
//
// What is trusted is the digest, which the initramfs has: a server's certificate
// is not looked at, for the clock of a machine that starts may be wrong and its
// list of authorities is in the image that is to be fetched. A transfer that
// breaks off is gone on with where it ended; attempts are bounded.
package fetch

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"ashlar/internal/contract/machine"
	"ashlar/internal/foundation/digest"
)

// Options of Files. The zero value works.
type Options struct {
	Attempts int                              // in a row that bring nothing; default 6
	Stall    time.Duration                    // without a byte, after which an attempt ends; default 30 s
	Pause    time.Duration                    // before the second attempt, doubling up to a minute; default 1 s
	Say      func(format string, args ...any) // default: nowhere
}

func (o Options) withDefaults() Options {
	if o.Attempts == 0 {
		o.Attempts = 6
	}
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	return o
}

// Files fetches what a list names into a directory. Their URLs are relative to
// base: "http://host/dir/", or the URL of a file beside them. A file has its name
// when its digest is right, not before.
func Files(ctx context.Context, base string, files []machine.NetFile, dir string, opt Options) error {
	at, err := url.Parse(base)
	if err != nil {
		return fmt.Errorf("fetch from %q: %w", base, err)
	}
	if at.Scheme != "http" && at.Scheme != "https" || at.Host == "" {
		return fmt.Errorf("fetch from %q: want http://HOST/DIRECTORY/ or https://…", base)
	}
	g := getter{opt: opt.withDefaults(), client: newClient()}
	defer g.client.CloseIdleConnections()
	for _, f := range files {
		if f.Name != filepath.Base(f.Name) || f.Size < 0 {
			return fmt.Errorf("fetch %q: no name of a file", f.Name)
		}
		from := at.ResolveReference(&url.URL{Path: f.Name}).String()
		g.opt.Say("fetching %s, %d MiB", from, f.Size>>20)
		if err := g.file(ctx, from, f, dir); err != nil {
			return fmt.Errorf("fetch %s: %w", from, err)
		}
	}
	return nil
}

func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} // the digest is what is trusted
	transport.DisableCompression = true
	return &http.Client{Transport: transport}
}

// ReadList reads a list of files, of at most 1 MiB.
func ReadList(path string) (files []machine.NetFile, err error) {
	const limit = 1 << 20
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read list of files: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err == nil {
		err = json.Unmarshal(data, &files)
	}
	if err != nil {
		return nil, fmt.Errorf("read list of files %s: %w", path, err)
	}
	return files, nil
}

// final is an error that another attempt would give again.
type final struct{ error }

type getter struct {
	opt    Options
	client *http.Client
}

// file fetches one file.
func (g getter) file(ctx context.Context, from string, want machine.NetFile, dir string) (err error) {
	path := filepath.Join(dir, want.Name)
	part, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	have, pause := int64(0), g.opt.Pause
	for failures := 0; have < want.Size; {
		n, err := g.attempt(ctx, from, part, have, want.Size)
		var done final
		switch {
		case errors.As(err, &done):
			return done.error
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
		case n > have:
			failures = 0
			g.opt.Say("%v after %d of %d bytes", err, n, want.Size)
		default:
			if failures++; failures == g.opt.Attempts {
				return fmt.Errorf("%w (the last of %d attempts)", err, failures)
			}
			g.opt.Say("%v; another attempt in %s", err, pause)
			if err := sleep(ctx, pause); err != nil {
				return err
			}
			const longest = time.Minute
			pause = min(2*pause, longest)
		}
		have = n
	}
	if err := check(part, want); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// check compares the digest of what came.
func check(f *os.File, want machine.NetFile) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := digest.Digest(h.Sum(nil)); got != want.Digest {
		return fmt.Errorf("its SHA-256 is %s, this initramfs is for %s: the server has another build", got, want.Digest)
	}
	return nil
}
