package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/miekg/dns"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	listers "k8s.io/client-go/listers/core/v1"
)

const (
	zone = "cluster.local."
	ttl  = 5 // seconds: CoreDNS' own default
)

// names answers as the DNS specification of Kubernetes says (https://github.com/kubernetes/dns, 1.1.0) for services
// and endpoints. There is no world outside this cluster: any other name does not exist, and that is said at once.
type names struct {
	services  listers.ServiceLister
	endpoints listers.EndpointsLister
}

// serveNames stands where kubeadm's deployment expects CoreDNS: port 53, /health on 8080 and /ready on 8181. Its
// arguments, which name a Corefile, are not read.
func serveNames() error {
	api, err := client()
	if err != nil {
		return err
	}
	done, stop := untilTold()
	defer stop()
	factory := informers.NewSharedInformerFactory(api, 0)
	known := &names{factory.Core().V1().Services().Lister(), factory.Core().V1().Endpoints().Lister()}
	failed := make(chan error, 4)
	go func() { failed <- http.ListenAndServe(":8080", http.HandlerFunc(well)) }()
	factory.Start(done.Done())
	for kind, synced := range factory.WaitForCacheSync(done.Done()) {
		if !synced {
			return fmt.Errorf("the API server told no %v", kind)
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		server := &dns.Server{Addr: ":53", Net: network, Handler: known}
		go func() { failed <- server.ListenAndServe() }()
	}
	go func() { failed <- http.ListenAndServe(":8181", http.HandlerFunc(well)) }()
	return firstOf(done, failed)
}

func well(answer http.ResponseWriter, _ *http.Request) { fmt.Fprint(answer, "OK") }

func firstOf(done context.Context, failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	case <-done.Done():
		return nil
	}
}

func (n *names) ServeDNS(writer dns.ResponseWriter, question *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(question)
	reply.Authoritative = true
	reply.RecursionAvailable = true
	if len(question.Question) == 1 {
		asked := question.Question[0]
		answers, exists := n.answer(strings.ToLower(asked.Name), asked)
		reply.Answer = answers
		if !exists {
			reply.Rcode = dns.RcodeNameError
		}
		if len(answers) == 0 {
			reply.Ns = []dns.RR{authority()}
		}
	} else {
		reply.Rcode = dns.RcodeFormatError
	}
	if writer.LocalAddr().Network() == "udp" {
		size := dns.MinMsgSize
		if option := question.IsEdns0(); option != nil {
			size = int(option.UDPSize())
		}
		for reply.Len() > size && len(reply.Answer) > 0 {
			reply.Truncated = true
			reply.Answer = reply.Answer[:len(reply.Answer)-1]
		}
	}
	_ = writer.WriteMsg(reply)
}

func authority() dns.RR {
	return &dns.SOA{Hdr: header(zone, dns.TypeSOA), Ns: "ns.dns." + zone, Mbox: "hostmaster." + zone, Serial: 1,
		Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl}
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// answer returns the records of one question, and whether the name exists at all.
func (n *names) answer(name string, asked dns.Question) ([]dns.RR, bool) {
	if strings.HasSuffix(name, ".in-addr.arpa.") {
		return n.reverse(name, asked)
	}
	if !strings.HasSuffix(name, "."+zone) {
		return nil, false
	}
	labels := strings.Split(strings.TrimSuffix(name, "."+zone), ".")
	if len(labels) < 3 || labels[len(labels)-1] != "svc" {
		return nil, false
	}
	space, service, rest := labels[len(labels)-2], labels[len(labels)-3], labels[:len(labels)-3]
	found, err := n.services.Services(space).Get(service)
	if err != nil {
		return nil, false
	}
	if len(rest) == 2 && strings.HasPrefix(rest[0], "_") {
		return n.ports(found, rest[0][1:], strings.TrimPrefix(rest[1], "_"), asked)
	}
	if len(rest) > 1 {
		return nil, false
	}
	return n.addresses(found, rest, asked)
}

// addresses of a service: its own; of a headless one those of its pods, or of the pod that is called `rest`.
func (n *names) addresses(service *v1.Service, rest []string, asked dns.Question) ([]dns.RR, bool) {
	if service.Spec.Type == v1.ServiceTypeExternalName {
		target := dns.Fqdn(service.Spec.ExternalName)
		return []dns.RR{&dns.CNAME{Hdr: header(asked.Name, dns.TypeCNAME), Target: target}}, true
	}
	var found []string
	if isHeadless(service) {
		for _, pod := range n.pods(service) {
			if len(rest) == 0 || rest[0] == pod.name {
				found = append(found, pod.ip)
			}
		}
	} else if len(rest) == 0 {
		found = []string{service.Spec.ClusterIP}
	}
	if len(found) == 0 {
		return nil, false
	}
	if asked.Qtype != dns.TypeA && asked.Qtype != dns.TypeANY {
		return nil, true
	}
	return records(asked.Name, found), true
}

func records(name string, addresses []string) []dns.RR {
	var all []dns.RR
	told := map[string]bool{}
	for _, address := range addresses {
		if !told[address] {
			told[address] = true
			all = append(all, &dns.A{Hdr: header(name, dns.TypeA), A: net.ParseIP(address)})
		}
	}
	return all
}

// ports answers _port._protocol.service with SRV records.
func (n *names) ports(service *v1.Service, port, protocol string, asked dns.Question) ([]dns.RR, bool) {
	host := fmt.Sprintf("%s.%s.svc.%s", service.Name, service.Namespace, zone)
	var all []dns.RR
	for _, offered := range service.Spec.Ports {
		if offered.Name != port || !strings.EqualFold(string(offered.Protocol), protocol) {
			continue
		}
		targets := []string{host}
		if isHeadless(service) {
			targets = nil
			for _, pod := range n.pods(service) {
				targets = append(targets, pod.name+"."+host)
			}
		}
		for _, target := range targets {
			all = append(all, &dns.SRV{Hdr: header(asked.Name, dns.TypeSRV), Weight: 100, Port: uint16(offered.Port), Target: target})
		}
	}
	if asked.Qtype != dns.TypeSRV {
		return nil, len(all) > 0
	}
	return all, len(all) > 0
}

// reverse tells the name of a service's address, or of a pod behind a headless one.
func (n *names) reverse(name string, asked dns.Question) ([]dns.RR, bool) {
	parts := strings.Split(strings.TrimSuffix(name, ".in-addr.arpa."), ".")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	address := strings.Join(parts, ".")
	services, err := n.services.List(labels.Everything())
	if err != nil {
		return nil, false
	}
	for _, service := range services {
		host := fmt.Sprintf("%s.%s.svc.%s", service.Name, service.Namespace, zone)
		if service.Spec.ClusterIP == address {
			return pointer(asked, host), true
		}
		if isHeadless(service) {
			for _, pod := range n.pods(service) {
				if pod.ip == address {
					return pointer(asked, pod.name+"."+host), true
				}
			}
		}
	}
	return nil, false
}

func pointer(asked dns.Question, target string) []dns.RR {
	if asked.Qtype != dns.TypePTR {
		return nil
	}
	return []dns.RR{&dns.PTR{Hdr: header(asked.Name, dns.TypePTR), Ptr: target}}
}

func isHeadless(service *v1.Service) bool { return service.Spec.ClusterIP == v1.ClusterIPNone }

// pod is one that a headless service leads to. Its name there is its hostname, else its address with dashes.
type pod struct{ name, ip string }

func (n *names) pods(service *v1.Service) []pod {
	endpoints, err := n.endpoints.Endpoints(service.Namespace).Get(service.Name)
	if err != nil {
		return nil
	}
	var all []pod
	for _, subset := range endpoints.Subsets {
		addresses := subset.Addresses
		if service.Spec.PublishNotReadyAddresses {
			addresses = append(append([]v1.EndpointAddress{}, addresses...), subset.NotReadyAddresses...)
		}
		for _, address := range addresses {
			name := address.Hostname
			if name == "" {
				name = strings.ReplaceAll(address.IP, ".", "-")
			}
			all = append(all, pod{name, address.IP})
		}
	}
	return all
}
