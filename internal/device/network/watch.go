package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"ashlar/internal/contract/machine"
)

// watch starts what is declared for each interface, those that appear later
// included, and ends it for those that go.
func (m *Manager) watch(ctx context.Context, declared []machine.Interface) error {
	events, err := listen()
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	w := &watcher{m: m, declared: declared, events: events}
	if err := w.resync(ctx); err != nil {
		events.close()
		return err
	}
	stop := context.AfterFunc(ctx, events.close)
	m.tasks.Go(func() {
		w.run(ctx)
		if stop() {
			events.close()
		}
	})
	return nil
}

// watcher is the one goroutine that hears the kernel.
type watcher struct {
	m        *Manager
	declared []machine.Interface
	events   *events
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		next, changed := w.m.routers.expire(time.Now())
		for _, index := range changed {
			w.tellNames(index)
		}
		messages, err := w.events.read(next)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, unix.ENOBUFS): // messages were lost: look at everything again
			if err := w.resync(ctx); err != nil {
				w.m.opt.Log("network: %v", err)
			}
		case err != nil && ctx.Err() == nil:
			w.m.opt.Log("network: watch interfaces: %v (trying on)", err)
			sleep(ctx, time.Second)
		}
		for _, msg := range messages {
			w.hear(ctx, msg)
		}
	}
}

// hear takes a message of the kernel.
func (w *watcher) hear(ctx context.Context, msg syscall.NetlinkMessage) {
	switch msg.Header.Type {
	case unix.RTM_NEWNDUSEROPT:
		for _, a := range parseUserOption(msg.Data) {
			if p := w.m.port(a.index); p != nil && p.want.RA {
				w.m.routers.hear(a, time.Now())
				w.tellNames(a.index)
			}
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(msg.Data) >= unix.SizeofIfAddrmsg {
			if p := w.m.port(int(nl.DeserializeIfAddrmsg(msg.Data).Index)); p != nil {
				p.addrs.fire()
			}
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(msg.Data) < unix.SizeofIfInfomsg {
			return
		}
		switch info := nl.DeserializeIfInfomsg(msg.Data); info.Family {
		case unix.AF_INET6:
			w.advise(int(info.Index), msg.Data)
		case unix.AF_UNSPEC: // not a bridge that speaks about its ports
			w.link(ctx, msg)
		}
	}
}

func (w *watcher) link(ctx context.Context, msg syscall.NetlinkMessage) {
	link, err := netlink.LinkDeserialize(&unix.NlMsghdr{Type: msg.Header.Type}, msg.Data)
	switch {
	case err != nil:
		w.m.opt.Log("network: read interface: %v", err)
	case msg.Header.Type == unix.RTM_DELLINK:
		w.release(link.Attrs().Index)
	default:
		w.consider(ctx, link)
	}
}

// resync considers all that is there.
func (w *watcher) resync(ctx context.Context) error {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // what changed meanwhile is announced
		return fmt.Errorf("list interfaces: %w", err)
	}
	there := map[int]bool{}
	for _, link := range links {
		there[link.Attrs().Index] = true
		w.consider(ctx, link)
	}
	for _, index := range w.m.indexes() {
		if !there[index] {
			w.release(index)
		} else if p := w.m.port(index); p != nil {
			p.addrs.fire()
		}
	}
	return w.adviseAll()
}

// consider starts the configuration of an interface that is declared and not
// started yet, and ends that of one that is no longer what it was.
func (w *watcher) consider(ctx context.Context, link netlink.Link) {
	p := w.m.port(link.Attrs().Index)
	if p != nil && p.same(link) {
		p.cable.set(hasCarrier(link.Attrs()))
		return
	}
	if p != nil {
		w.release(link.Attrs().Index)
	}
	if d, ok := choose(w.declared, link); ok {
		w.m.start(ctx, link, d)
	}
}

func (w *watcher) release(index int) {
	p := w.m.port(index)
	if p == nil {
		return
	}
	w.m.mu.Lock()
	delete(w.m.ports, index)
	w.m.mu.Unlock()
	p.stop()
	p.tasks.Wait()
	w.m.opt.Log("network: %s: let go", p.name)
	w.m.routers.forget(index)
	if err := w.m.names.forget(p.name); err != nil {
		w.m.opt.Log("network: %v", err)
	}
	w.m.change.fire()
}

// tellNames passes on what routers have said on an interface.
func (w *watcher) tellNames(index int) {
	if p := w.m.port(index); p != nil {
		servers, search := w.m.routers.of(index)
		p.learn(methodRouter, servers, search)
	}
}

// adviseAll asks for what routers advise on every interface.
func (w *watcher) adviseAll() error {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_INET6))
	list, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("list what routers advise: %w", err)
	}
	for _, data := range list {
		if len(data) >= unix.SizeofIfInfomsg {
			w.advise(int(nl.DeserializeIfInfomsg(data).Index), data)
		}
	}
	return nil
}

// Flags of IFLA_INET6_FLAGS (net/if_inet6.h): what the last router said.
const (
	flagOther   = 0x80 // IF_RA_OTHERCONF: more is to be had by DHCPv6
	flagManaged = 0x40 // IF_RA_MANAGED: addresses, too
)

// advise takes IFLA_PROTINFO of an AF_INET6 link message.
func (w *watcher) advise(index int, data []byte) {
	const inet6Flags = 1 // IFLA_INET6_FLAGS
	p := w.m.port(index)
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofIfInfomsg:])
	if p == nil || err != nil {
		return
	}
	for _, attr := range attrs {
		if attr.Attr.Type&^unix.NLA_F_NESTED != unix.IFLA_PROTINFO {
			continue
		}
		inner, err := nl.ParseRouteAttr(attr.Value)
		for _, a := range inner {
			if err == nil && a.Attr.Type == inet6Flags && len(a.Value) >= 4 {
				flags := nl.NativeEndian().Uint32(a.Value) & (flagOther | flagManaged)
				if p.flags.Swap(flags) != flags {
					p.advised.fire()
				}
			}
		}
	}
}

func (m *Manager) port(index int) *port {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ports[index]
}

func (m *Manager) indexes() (list []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for index := range m.ports {
		list = append(list, index)
	}
	return list
}
