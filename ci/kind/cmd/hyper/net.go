package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	tunnel     = "harness-vxlan"
	tunnelID   = 1
	tunnelPort = 8472
	// an outer IPv4 header, UDP, VXLAN and the inner Ethernet header
	tunnelBytes = 50
	cniConfig   = "/etc/cni/net.d/10-harness.conflist"
	everyOften  = 10 * time.Second
	// where the kubelet asks whether this node is in step
	healthAddress = "127.0.0.1:9819"
)

// podNetwork is one node's half of the pods' network: a vxlan device without learning, and for every other node an
// entry in its forwarding table, a neighbour and a route. The device is bound to the node's address and to no
// interface, so it outlives a wire that is taken away and given back.
type podNetwork struct {
	node   string
	nodes  listers.NodeLister
	inStep atomic.Value
}

// ServeHTTP tells the kubelet: the pod is Ready when this node's half is as it should be.
func (p *podNetwork) ServeHTTP(answer http.ResponseWriter, _ *http.Request) {
	if state, _ := p.inStep.Load().(string); state != "in step" {
		http.Error(answer, state, http.StatusServiceUnavailable)
	}
}

// joinPodNetworks keeps this node's half in step with the cluster's nodes. Environment: NODE_NAME, POD_SUBNET.
func joinPodNetworks() error {
	api, err := client()
	if err != nil {
		return err
	}
	if err := masquerade(os.Getenv("POD_SUBNET")); err != nil {
		return err
	}
	done, stop := untilTold()
	defer stop()
	changed := make(chan struct{}, 1)
	tell := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	factory := informers.NewSharedInformerFactory(api, 0)
	factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(interface{}) { tell() },
		UpdateFunc: func(_, _ interface{}) { tell() },
		DeleteFunc: func(interface{}) { tell() },
	})
	network := &podNetwork{node: os.Getenv("NODE_NAME"), nodes: factory.Core().V1().Nodes().Lister()}
	failed := make(chan error, 1)
	go func() { failed <- http.ListenAndServe(healthAddress, network) }()
	factory.Start(done.Done())
	factory.WaitForCacheSync(done.Done())
	last := ""
	for {
		state := "in step"
		if err := network.agree(); err != nil {
			state = err.Error()
		}
		network.inStep.Store(state)
		if state != last {
			fmt.Println(state)
			last = state
		}
		select {
		case <-changed:
		case <-time.After(everyOften):
		case err := <-failed:
			return err
		case <-done.Done():
			return nil
		}
	}
}

// agree makes the kernel's tables say what the API server says. Idempotent.
func (p *podNetwork) agree() error {
	own, err := p.nodes.Get(p.node)
	if err != nil {
		return err
	}
	subnet, address, err := placeOf(own)
	if err != nil {
		return err
	}
	mtu, err := mtuOf(address)
	if err != nil {
		return err
	}
	link, err := device(address, subnet, mtu-tunnelBytes)
	if err != nil {
		return fmt.Errorf("making %s: %w", tunnel, err)
	}
	nodes, err := p.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, node := range nodes {
		if node.Name == p.node {
			continue
		}
		theirs, at, err := placeOf(node)
		if err != nil {
			continue // it has only just joined
		}
		wanted[theirs.String()] = true
		if err := reach(link, theirs, at); err != nil {
			return fmt.Errorf("leading to %s: %w", node.Name, err)
		}
	}
	if err := forget(link, wanted); err != nil {
		return err
	}
	return configure(subnet, mtu-tunnelBytes)
}

// placeOf tells a node's pod subnet and its address on the wire.
func placeOf(node *v1.Node) (*net.IPNet, net.IP, error) {
	_, subnet, err := net.ParseCIDR(node.Spec.PodCIDR)
	if err != nil {
		return nil, nil, fmt.Errorf("%s has no pod subnet yet", node.Name)
	}
	for _, address := range node.Status.Addresses {
		if ip := net.ParseIP(address.Address).To4(); address.Type == v1.NodeInternalIP && ip != nil {
			return subnet, ip, nil
		}
	}
	return nil, nil, fmt.Errorf("%s has no address yet", node.Name)
}

func mtuOf(address net.IP) (int, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return 0, err
	}
	for _, link := range links {
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return 0, err
		}
		for _, found := range addresses {
			if found.IP.Equal(address) {
				return link.Attrs().MTU, nil
			}
		}
	}
	return 0, fmt.Errorf("no interface has this node's address %s", address)
}

// mac of a node's vxlan device follows from its address: nobody needs to be told.
func mac(address net.IP) net.HardwareAddr {
	return append(net.HardwareAddr{0x02, 0x68}, address.To4()...)
}

// device makes the vxlan device, anew where the node has got another address or MTU.
func device(address net.IP, subnet *net.IPNet, mtu int) (netlink.Link, error) {
	if found, err := netlink.LinkByName(tunnel); err == nil {
		known, isOurs := found.(*netlink.Vxlan)
		if isOurs && known.SrcAddr.Equal(address) && known.MTU == mtu {
			return found, nil
		}
		if err := netlink.LinkDel(found); err != nil {
			return nil, err
		}
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU, attributes.HardwareAddr = tunnel, mtu, mac(address)
	link := &netlink.Vxlan{LinkAttrs: attributes, VxlanId: tunnelID, SrcAddr: address, Port: tunnelPort}
	if err := netlink.LinkAdd(link); err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, err
	}
	first := &netlink.Addr{IPNet: &net.IPNet{IP: subnet.IP, Mask: net.CIDRMask(32, 32)}}
	return link, netlink.AddrReplace(link, first)
}

func reach(link netlink.Link, subnet *net.IPNet, at net.IP) error {
	index := link.Attrs().Index
	entry := netlink.Neigh{LinkIndex: index, Family: syscall.AF_BRIDGE, State: netlink.NUD_PERMANENT,
		Flags: netlink.NTF_SELF, IP: at, HardwareAddr: mac(at)}
	neighbour := netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: subnet.IP, HardwareAddr: mac(at)}
	for _, each := range []netlink.Neigh{entry, neighbour} {
		if err := netlink.NeighSet(&each); err != nil {
			return err
		}
	}
	return netlink.RouteReplace(&netlink.Route{LinkIndex: index, Dst: subnet, Gw: subnet.IP, Flags: int(netlink.FLAG_ONLINK)})
}

// forget removes the routes to nodes that have left: what leads nowhere is refused, not lost in the tunnel.
func forget(link netlink.Link, wanted map[string]bool) error {
	routes, err := netlink.RouteList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, route := range routes {
		if route.Gw != nil && route.Dst != nil && !wanted[route.Dst.String()] {
			if err := netlink.RouteDel(&route); err != nil {
				return err
			}
		}
	}
	return nil
}

// configure tells containerd how pods are attached: routed, without a bridge, so that the node's tables see whatever a
// pod says to another one of its own node, whether or not the kernel filters on bridges.
func configure(subnet *net.IPNet, mtu int) error {
	attach := map[string]interface{}{"type": "ptp", "mtu": mtu, "ipMasq": false, "ipam": map[string]interface{}{
		"type": "host-local", "dataDir": "/run/cni-ipam-state",
		"ranges": [][]map[string]string{{{"subnet": subnet.String()}}},
		"routes": []map[string]string{{"dst": "0.0.0.0/0"}}}}
	ports := map[string]interface{}{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}}
	text, err := json.MarshalIndent(map[string]interface{}{"cniVersion": "0.4.0", "name": "harness",
		"plugins": []interface{}{attach, ports}}, "", "  ")
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(cniConfig); err == nil && string(old) == string(text) {
		return nil
	}
	// containerd reads whatever is in the folder: it must never see half of it
	half := filepath.Join(filepath.Dir(cniConfig), ".harness.new")
	if err := os.WriteFile(half, text, 0o644); err != nil {
		return err
	}
	return os.Rename(half, cniConfig)
}

// masquerade hides pods from whatever is not a pod: other hosts know no way to them.
func masquerade(subnet string) error {
	rule := []string{"POSTROUTING", "-s", subnet, "!", "-d", subnet, "-m", "comment", "--comment", "harness-cni", "-j", "MASQUERADE"}
	if tables("-C", rule) == nil {
		return nil
	}
	return tables("-A", rule)
}

func tables(verb string, rule []string) error {
	output, err := exec.Command("iptables", append([]string{"-w", "10", "-t", "nat", verb}, rule...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables %s %v: %w: %s", verb, rule, err, output)
	}
	return nil
}
