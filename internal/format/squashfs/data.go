package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/progress"
)

// fragmentEntry is one row of the fragment table.
type fragmentEntry struct {
	Start  uint64 // offset in the image
	Word   uint32 // size word
	Unused uint32
}

// job is one block on its way through the pipeline, with its buffers. Jobs
// are reused: their number bounds the memory.
type job struct {
	plain  []byte
	packed []byte        // buffer of the compressed form
	done   chan struct{} // gets a value when the worker is through

	content *content // whose block it is; nil for a fragment block
	index   int      // of the block in the content, or of the fragment block

	out  []byte // what is to be written: plain or packed
	word uint32 // size word
	hit  bool   // came from the cache
}

// pipeline: one reader fills jobs in the order of the image, workers compress
// them in any order, one writer takes them in the order of the image.
type pipeline struct {
	im    *image
	free  chan *job
	work  chan *job // to the workers
	line  chan *job // to the writer, in order
	cache *cache
}

// writeData writes all blocks and fragment blocks and gives the fragment table.
func writeData(ctx context.Context, im *image) ([]fragmentEntry, error) {
	jobs := 3*im.opt.Workers + 2
	p := &pipeline{
		im:    im,
		free:  make(chan *job, jobs),
		work:  make(chan *job, jobs),
		line:  make(chan *job, jobs),
		cache: newCache(im.opt.Cache, im.opt.Compressor),
	}
	for range jobs {
		p.free <- &job{done: make(chan struct{}, 1)}
	}
	fragments := make([]fragmentEntry, im.plan.packs)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(p.work)
		defer close(p.line)
		return p.read(ctx)
	})
	for range im.opt.Workers {
		group.Go(func() error { return p.compress(ctx) })
	}
	group.Go(func() error { return p.write(ctx, fragments) })
	return fragments, group.Wait()
}

// take waits for a job that is free.
func (p *pipeline) take(ctx context.Context, size int) (*job, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case j := <-p.free:
		if cap(j.plain) < size {
			j.plain = make([]byte, 0, p.im.opt.BlockSize)
		}
		j.plain, j.out, j.hit = j.plain[:0], nil, false
		return j, nil
	}
}

// submit hands a filled job on. Both channels hold all jobs there are: neither blocks.
func (p *pipeline) submit(j *job, c *content, index int) {
	j.content, j.index = c, index
	p.work <- j
	p.line <- j
}

// read reads all contents in order and cuts them into jobs.
func (p *pipeline) read(ctx context.Context) error {
	var pack *job // the fragment block that is being filled
	index := 0
	for _, c := range p.im.plan.contents {
		if pack != nil && c.fragment != noFragment && int(c.fragment) != index {
			p.submit(pack, nil, index)
			pack = nil
		}
		if pack == nil && c.fragment != noFragment {
			var err error
			if pack, err = p.take(ctx, p.im.opt.BlockSize); err != nil {
				return err
			}
			index = int(c.fragment)
		}
		if err := p.readContent(ctx, c, pack); err != nil {
			return fmt.Errorf("read %s: %w", c.entry.Path, err)
		}
	}
	if pack != nil {
		p.submit(pack, nil, index)
	}
	return nil
}

func (p *pipeline) readContent(ctx context.Context, c *content, pack *job) error {
	if c.entry.Size == 0 {
		return nil
	}
	r, err := c.entry.Open()
	if err != nil {
		return err
	}
	return errors.Join(p.readBlocks(ctx, c, r, pack), r.Close())
}

func (p *pipeline) readBlocks(ctx context.Context, c *content, r io.Reader, pack *job) error {
	for i := range c.words {
		j, err := p.take(ctx, p.im.opt.BlockSize)
		if err != nil {
			return err
		}
		j.plain = j.plain[:p.im.opt.BlockSize]
		if err := imagetree.Fill(r, j.plain, c.entry); err != nil {
			return err
		}
		p.submit(j, c, i)
	}
	if c.fragment != noFragment {
		from := int(c.offset)
		pack.plain = pack.plain[:from+int(c.entry.Size%int64(p.im.opt.BlockSize))]
		if err := imagetree.Fill(r, pack.plain[from:], c.entry); err != nil {
			return err
		}
	}
	return imagetree.AtEnd(r, c.entry)
}

// compress is one worker.
func (p *pipeline) compress(ctx context.Context) error {
	for j := range p.work {
		if err := ctx.Err(); err != nil {
			return err
		}
		if j.content != nil && allZero(j.plain) {
			j.word = 0
		} else if err := p.pack(j); err != nil {
			return fmt.Errorf("compress: %w", err)
		}
		j.done <- struct{}{}
	}
	return nil
}

// pack gives a job its compressed form, from the cache or by compressing.
func (p *pipeline) pack(j *job) error {
	key := p.cache.key(j.plain)
	var err error
	j.packed, j.hit = p.cache.get(key, j.packed[:0], len(j.plain))
	if !j.hit {
		if j.packed, err = p.im.opt.Compressor.Compress(j.packed[:0], j.plain); err != nil {
			return err
		}
		if len(j.packed) >= len(j.plain) {
			j.packed = j.packed[:0]
		}
		p.cache.put(key, j.packed)
	}
	if len(j.packed) == 0 {
		j.out, j.word = j.plain, uint32(len(j.plain))|blockPlain
	} else {
		j.out, j.word = j.packed, uint32(len(j.packed))
	}
	return nil
}

func allZero(p []byte) bool {
	return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// write takes the jobs in order and writes them.
func (p *pipeline) write(ctx context.Context, fragments []fragmentEntry) error {
	var done int64
	total := p.im.plan.storedContent()
	for j := range p.line {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-j.done:
		}
		event := progress.Event{Task: "squashfs", Total: total, Unit: "bytes"}
		if c := j.content; c != nil {
			event.Item = c.entry.Path
			if j.index == 0 {
				c.start = uint64(p.im.at)
			}
			c.words[j.index] = j.word
			if j.word == 0 {
				c.sparse += uint64(len(j.plain))
			}
		} else {
			fragments[j.index] = fragmentEntry{Start: uint64(p.im.at), Word: j.word}
		}
		if err := p.im.append(j.out); err != nil {
			return err
		}
		p.count(j)
		done += int64(len(j.plain))
		event.Done = done
		p.im.opt.Progress.Report(event)
		p.free <- j
	}
	return nil
}

func (p *pipeline) count(j *job) {
	s := &p.im.plan.stats
	if j.word == 0 {
		s.SparseBlocks++
		return
	}
	s.Blocks++
	s.StoredBytes += int64(len(j.out))
	if j.content == nil {
		s.FragmentBlocks++
	}
	if j.hit {
		s.CacheHits++
	}
}

// storedContent is the number of bytes that are read for blocks.
func (p *plan) storedContent() int64 {
	var n int64
	for _, c := range p.contents {
		n += c.entry.Size
	}
	return n
}
