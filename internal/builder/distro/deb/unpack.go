package deb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/builder/lock"
	"ashlar/internal/builder/store"
	"ashlar/internal/format/deb822"
	"ashlar/internal/format/debfile"
	"ashlar/internal/foundation/digest"
	"ashlar/internal/foundation/progress"
	"ashlar/internal/foundation/tree"
)

// Entry is one path of a package, with its owners by name and number.
type Entry = debfile.Entry

// Unpacked is a package whose contents are in the store. It must not be changed.
type Unpacked struct {
	Control deb822.Paragraph
	Members map[string][]byte // every control member by name: "control", "postinst", "conffiles", …
	Entries []Entry           // in the package's order; a file's Source is a store.Blob, nil when empty
}

// Unpack puts the contents of the package, a blob of the store, into the
// store. The result is kept as a record: the next time nothing is decompressed.
// name is for messages.
func Unpack(ctx context.Context, st *store.Store, name string, d digest.Digest) (*Unpacked, error) {
	key := d.String()
	data, found, err := st.Record(recordKind, key)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	if found {
		if u, err := decodeRecord(data, st); err == nil {
			return u, nil
		}
		// A record that cannot be read, or whose blobs are gone, is made anew.
	}
	u, err := unpack(ctx, st, name, d)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	data, err = encodeRecord(u)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	if err := st.SetRecord(recordKind, key, data); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return u, nil
}

// unpack reads the blob; a blob that is no longer what its name says is removed,
// so that it is fetched again.
func unpack(ctx context.Context, st *store.Store, name string, d digest.Digest) (u *Unpacked, err error) {
	blob, err := st.Blob(d).Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	checked := newChecked(cancellable{ctx, blob}, 1<<62)
	u, readErr := readPackage(st, name, checked)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if _, err := io.Copy(io.Discard, checked); err != nil {
		return nil, errors.Join(readErr, err)
	}
	if got := checked.digest(); got != d {
		return nil, errors.Join(
			fmt.Errorf("the package in store %s is damaged (its SHA-256 is %s) and was removed: run the command again to fetch it", st.Dir(), got),
			st.Remove(d))
	}
	return u, readErr
}

func readPackage(st *store.Store, name string, r io.Reader) (*Unpacked, error) {
	u := &Unpacked{Members: map[string][]byte{}}
	err := debfile.Read(name, r, debfile.Limits{}, debfile.Visitor{
		Control: func(name string, data []byte) error {
			u.Members[name] = data
			return nil
		},
		Entry: func(e Entry, content io.Reader) error {
			if e.Kind == tree.File {
				if err := putFile(st, &e, content); err != nil {
					return err
				}
			}
			u.Entries = append(u.Entries, e)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return u, u.parseControl()
}

func (u *Unpacked) parseControl() error {
	p, err := deb822.ReadOne(bytes.NewReader(u.Members["control"]), deb822.Limits{})
	if err != nil {
		return fmt.Errorf("read file control: %w", err)
	}
	u.Control = *p
	return nil
}

func putFile(st *store.Store, e *Entry, content io.Reader) error {
	if e.Size == 0 {
		e.Digest = digest.Of(nil)
		return nil
	}
	d, n, err := st.PutFile(content, e.Mode, e.MTime)
	if err != nil {
		return err
	}
	if n != e.Size {
		return fmt.Errorf("has %d bytes, the header says %d", n, e.Size)
	}
	e.Digest, e.Source = d, st.Blob(d)
	return nil
}

// cancellable ends reading when the context ends.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// UnpackAll unpacks locked packages, workers at a time (0: one a processor),
// and gives them in the order of the list.
func UnpackAll(ctx context.Context, st *store.Store, packages []lock.Package, workers int, sink progress.Sink) ([]*Unpacked, error) {
	if workers <= 0 {
		workers = runtime.NumCPU()
	}
	if sink == nil {
		sink = progress.Discard{}
	}
	all := make([]*Unpacked, len(packages))
	var done atomic.Int64
	report := func(item string, n int64, end bool) {
		sink.Report(progress.Event{Task: "unpack", Item: item, Done: n, Total: int64(len(packages)), Unit: "packages", End: end})
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i, p := range packages {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			all[i], err = Unpack(ctx, st, p.Name+" "+p.Version+" ("+p.Arch+")", p.Digest)
			if err == nil {
				report(p.Name, done.Add(1), false)
			}
			return err
		})
	}
	err := group.Wait()
	report("", done.Load(), true)
	if err == nil && done.Load() < int64(len(packages)) {
		err = context.Cause(ctx) // it ended before every package was begun
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}
