// Addresses, ranges, and whose word is taken for a client's address.
import Testing

@testable import ServiceKit

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0::1", "2001:db8::1"), ("::1", "::1"),
    ])
    func address__has_one_text(_ text: String, _ expected: String) {
        #expect(IPAddress(text)?.text == expected)
    }

    @Test(arguments: [
        "", "192.0.2", "192.0.2.1 ", "192.0.2.256", "0192.0.2.1:80", "[::1]", "fe80::1%eth0", "localhost", "1.2.3.4\0",
        String(repeating: "1", count: 100_000),
    ])
    func anything_else__is_no_address(_ text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(arguments: [
        ("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"), ("::1", "::1"), ("", ""), ("rubbish", ""),
    ])
    func network__is_what_a_subscriber_has(_ address: String, _ network: String) {
        #expect(Peer(address: address).network == network)
    }

    @Test func peers_of_the_reactor__are_the_networks_of_their_addresses() {
        #expect(IPAddress(peer: 1 << 32 | 0xc000_0201).text == "192.0.2.1")
        #expect(IPAddress(peer: 0x2001_0db8_0001_0002).text == "2001:db8:1:2::")
        #expect(IPAddress(peer: .max).text == "::1")
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false), ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true), ("2001:db8::/33", "2001:db8:7fff::1", true),
        ("2001:db8::/33", "2001:db8:8000::1", false), ("2001:db8::/127", "2001:db8::1", true),
        ("2001:db8::/127", "2001:db8::2", false), ("10.0.0.0/31", "::ffff:10.0.0.1", true),
    ])
    func range__holds_its_addresses(_ range: String, _ address: String, _ holds: Bool) throws {
        #expect(try #require(IPRange(range)).contains(try #require(IPAddress(address))) == holds)
    }

    @Test(arguments: ["", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "x/8"])
    func range__refuses_the_rest(_ text: String) {
        #expect(IPRange(text) == nil)
    }
}

@Suite struct TrustedProxiesTests {
    private let forwardedFor = TrustedProxies([IPRange("10.0.0.0/8")!, IPRange("fd00::/8")!], header: .xForwardedFor)
    private let forwarded = TrustedProxies([IPRange("10.0.0.0/8")!], header: .forwarded)

    @Test func header_of_anybody_else__says_nothing() {
        #expect(forwardedFor.client(of: "192.0.2.1", ["198.51.100.1"]) == "192.0.2.1")
        #expect(TrustedProxies.none.client(of: "127.0.0.1", ["198.51.100.1"]) == "127.0.0.1")
        #expect(forwardedFor.client(of: "", ["198.51.100.1"]) == "")
    }

    @Test(arguments: [
        (["198.51.100.1"], "198.51.100.1"),
        // What the client itself has sent stands before what the proxy has added.
        (["127.0.0.1, 198.51.100.1"], "198.51.100.1"), (["127.0.0.1", "198.51.100.1"], "198.51.100.1"),
        (["203.0.113.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"), (["198.51.100.1:4711"], "198.51.100.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"), (["2001:db8::1"], "2001:db8::1"), (["::ffff:198.51.100.1"], "198.51.100.1"),
        // A chain of proxies alone ends at the first of them.
        (["10.0.0.3, fd00::2"], "10.0.0.3"),
        // Nothing, or nothing that is an address: the proxy stands for everyone.
        ([], "10.0.0.1"), ([""], "10.0.0.1"), (["unknown"], "10.0.0.1"), (["198.51.100.1, unknown"], "10.0.0.1"),
        (["198.51.100.1,"], "10.0.0.1"), (["198.51.100.1, 10.0.0.9, rubbish"], "10.0.0.1"),
    ])
    func client__is_the_last_who_is_no_proxy(_ values: [String], _ client: String) {
        #expect(forwardedFor.client(of: "10.0.0.1", values) == client)
    }

    @Test(arguments: [
        (["for=198.51.100.1"], "198.51.100.1"), (["for=127.0.0.1, For=\"198.51.100.1:80\";proto=https"], "198.51.100.1"),
        (["proto=http;for=\"[2001:db8::1]:4711\";by=10.0.0.1"], "2001:db8::1"), (["for=_hidden"], "10.0.0.1"),
        (["proto=https"], "10.0.0.1"), (["198.51.100.1"], "10.0.0.1"),
    ])
    func forwarded__is_read_as_RFC_7239_writes_it(_ values: [String], _ client: String) {
        #expect(forwarded.client(of: "10.0.0.1", values) == client)
    }

    @Test func a_header_of_a_megabyte__is_read_from_its_end() {
        let long = String(repeating: "10.0.0.1,", count: 100_000) + "198.51.100.1"
        #expect(forwardedFor.client(of: "10.0.0.1", [long]) == "198.51.100.1")
    }
}
