package erofs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"ashlar/internal/format/imagetree"
	"ashlar/internal/foundation/progress"
)

// job is one segment of a content on its way through the pipeline, with its
// buffers. Jobs are reused: their number bounds the memory.
type job struct {
	content *content
	last    bool // it is the content's last
	end     bool // it is the end of a file, of which a part may stand behind the inode
	plain   []byte
	packed  packed  // if it is compressed
	chunks  []chunk // if not
	hit     bool    // came from the cache
	done    chan struct{}
}

// pipeline: one reader fills jobs in the order of the image, workers compress
// them in any order, one writer takes them in the order of the image.
type pipeline struct {
	im     *image
	free   chan *job
	work   chan *job // to the workers
	line   chan *job // to the writer, in order
	cache  *cache
	shared map[chunkKey]uint32 // addresses of the chunks that are stored
}

// writeData writes the blocks of all contents.
func writeData(ctx context.Context, im *image) error {
	jobs := 3*im.opt.Workers + 2
	p := &pipeline{
		im:     im,
		free:   make(chan *job, jobs),
		work:   make(chan *job, jobs),
		line:   make(chan *job, jobs),
		cache:  newCache(im.opt),
		shared: map[chunkKey]uint32{},
	}
	for range jobs {
		p.free <- &job{done: make(chan struct{}, 1)}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(p.work)
		defer close(p.line)
		return p.read(ctx)
	})
	for range im.opt.Workers {
		group.Go(func() error { return p.prepare(ctx) })
	}
	group.Go(func() error { return p.write(ctx) })
	return group.Wait()
}

// read reads all contents in order and cuts them into jobs.
func (p *pipeline) read(ctx context.Context) error {
	for _, c := range p.im.plan.contents {
		if c.fragments != nil {
			if err := p.readPacks(ctx, c); err != nil {
				return err
			}
			continue
		}
		if c.whole == 0 {
			continue
		}
		r, err := c.entry.Open()
		if err == nil {
			err = errors.Join(p.readSegments(ctx, c, r), r.Close())
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", c.entry.Path, err)
		}
	}
	return nil
}

// take waits for a job that is free and makes it a segment of a content.
func (p *pipeline) take(ctx context.Context, c *content, size int64, last bool) (*job, error) {
	var j *job
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case j = <-p.free:
	}
	if int64(cap(j.plain)) < size {
		j.plain = make([]byte, alignUp(size, minUnit))
	}
	j.content, j.last, j.end, j.hit, j.plain = c, last, last && !c.isFragment, false, j.plain[:size]
	return j, nil
}

// submit hands a filled job on. Both channels hold all jobs there are: neither blocks.
func (p *pipeline) submit(j *job) {
	p.work <- j
	p.line <- j
}

func (p *pipeline) readSegments(ctx context.Context, c *content, r io.Reader) error {
	for left := c.whole; left > 0; {
		size := min(left, segmentSize)
		left -= size
		j, err := p.take(ctx, c, size, left == 0)
		if err == nil {
			err = imagetree.Fill(r, j.plain, c.entry)
		}
		if err != nil {
			return err
		}
		p.submit(j)
	}
	if c.isFragment {
		return nil // the rest is yet to be read
	}
	return imagetree.AtEnd(r, c.entry)
}

// readPacks makes a job of each pack of fragments.
func (p *pipeline) readPacks(ctx context.Context, packed *content) error {
	f := packed.fragments
	for i, members := range f.packs {
		at := int64(i) * f.unit
		j, err := p.take(ctx, packed, min(f.unit, packed.entry.Size-at), i == len(f.packs)-1)
		if err != nil {
			return err
		}
		clear(j.plain)
		for _, c := range members {
			from := c.fragment - at
			if err := readFragment(c, j.plain[from:from+c.entry.Size-c.whole]); err != nil {
				return fmt.Errorf("read %s: %w", c.entry.Path, err)
			}
		}
		j.end = false
		p.submit(j)
	}
	return nil
}

// readFragment reads the end of a file.
func readFragment(c *content, plain []byte) error {
	r, err := c.entry.Open()
	if err != nil {
		return err
	}
	if s, ok := r.(io.Seeker); ok && c.whole > 0 {
		_, err = s.Seek(c.whole, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, r, c.whole)
	}
	if err == nil {
		err = imagetree.Fill(r, plain, c.entry)
	}
	if err == nil {
		err = imagetree.AtEnd(r, c.entry)
	}
	return errors.Join(err, r.Close())
}

// prepare is one worker.
func (p *pipeline) prepare(ctx context.Context) error {
	var packer segmentPacker
	if p.im.opt.compressed() {
		packer = p.im.opt.Compressor.newPacker(p.im.opt.ClusterSize)
	}
	for j := range p.work {
		if err := ctx.Err(); err != nil {
			return err
		}
		if packer == nil {
			j.survey(p.im.opt.ChunkSize)
		} else if err := p.pack(j, packer); err != nil {
			return fmt.Errorf("compress %s: %w", j.content.entry.Path, err)
		}
		j.done <- struct{}{}
	}
	return nil
}

// pack fills a job's clusters, from the cache or by compressing.
func (p *pipeline) pack(j *job, packer segmentPacker) error {
	key := p.cache.key(j.plain, j.end)
	if j.hit = p.cache.get(key, &j.packed, len(j.plain), j.end); j.hit {
		return nil
	}
	j.packed.reset()
	if err := packer.pack(&j.packed, j.plain, j.end); err != nil {
		return err
	}
	p.cache.put(key, &j.packed)
	return nil
}

// write takes the jobs in order and writes them.
func (p *pipeline) write(ctx context.Context) error {
	var done int64
	total := p.im.plan.storedContent()
	for j := range p.line {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-j.done:
		}
		if err := p.store(j); err != nil {
			return err
		}
		done += int64(len(j.plain))
		p.im.opt.Progress.Report(progress.Event{Task: "erofs", Item: j.content.entry.Path, Done: done, Total: total, Unit: "bytes"})
		p.free <- j
	}
	return nil
}

func (p *pipeline) store(j *job) error {
	c, before := j.content, p.im.at
	if c.blocks == 0 {
		c.start = uint32(p.im.at >> blockBits)
	}
	var err error
	if p.im.opt.compressed() {
		err = p.storePacked(c, j)
	} else {
		err = p.storeChunks(c, j)
	}
	stats := &p.im.plan.stats
	stats.StoredBytes += p.im.at - before
	if j.last {
		stats.TailBytes += int64(len(c.tail))
	}
	return err
}

// storePacked writes a segment's clusters. A content that has only plain
// ones is one that is not compressed.
func (p *pipeline) storePacked(c *content, j *job) error {
	p.im.plan.stats.Segments++
	if j.hit {
		p.im.plan.stats.CacheHits++
	}
	c.extents = append(c.extents, j.packed.extents...)
	c.blocks += uint32(len(j.packed.data) >> blockBits)
	if err := p.im.append(j.packed.data); err != nil || !j.last || c.isFragment {
		return err
	}
	c.layout, c.tail = layoutPlain, append([]byte(nil), j.packed.tail...)
	if len(c.tail) > 0 {
		c.layout = layoutInline
	}
	for _, x := range c.extents {
		if !x.plain {
			c.layout = layoutCompactIndex
		}
	}
	return nil
}

// storedContent is the number of bytes that are read for blocks.
func (p *plan) storedContent() int64 {
	var n int64
	for _, c := range p.contents {
		n += c.whole
	}
	return n
}
