// Whose word is taken for a client's address: balancers and proxies in front of this node, by their own addresses. From
// anybody else the header says nothing. Pure.

public struct TrustedProxies: Sendable {
    /// The one header that the proxies write. A second one would pass through them as the client has sent it.
    public enum Header: String, Sendable {
        case xForwardedFor = "x-forwarded-for"
        /// RFC 7239.
        case forwarded
    }

    public static let none = TrustedProxies([], header: .xForwardedFor)

    public let header: Header
    private let ranges: [IPRange]

    public init(_ ranges: [IPRange], header: Header) {
        self.ranges = ranges
        self.header = header
    }

    public func trusts(_ address: String) -> Bool {
        IPAddress(address).map(trusts) ?? false
    }

    private func trusts(_ address: IPAddress) -> Bool {
        ranges.contains { $0.contains(address) }
    }

    /// The client behind a connection from `peer`. Each proxy adds at the end whom it heard, so the first from the end
    /// that is no proxy of ours is the one; what stands before it may be anything. Where a proxy of ours tells no
    /// address, its own stands for everyone behind it.
    ///
    /// - Parameter values: the header's values, in their order.
    public func client(of peer: String, _ values: some Sequence<String>) -> String {
        guard trusts(peer) else { return peer }
        var client = peer
        for value in Array(values).reversed() {
            for element in value.split(separator: ",", omittingEmptySubsequences: false).reversed() {
                guard let address = address(in: element) else { return client }
                client = address.text
                guard trusts(address) else { return client }
            }
        }
        return client
    }

    private func address(in element: Substring) -> IPAddress? {
        switch header {
        case .xForwardedFor: Self.address(ofNode: element.trimmed)
        case .forwarded:
            element.split(separator: ";").lazy.map(\.trimmed).first { $0.lowercased().hasPrefix("for=") }
                .flatMap { Self.address(ofNode: $0.dropFirst(4).unquoted) }
        }
    }

    /// "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711".
    private static func address(ofNode node: Substring) -> IPAddress? {
        if node.first == "[", let end = node.firstIndex(of: "]") {
            return IPAddress(node[node.index(after: node.startIndex)..<end])
        }
        if let address = IPAddress(node) { return address }
        return node.firstIndex(of: ":").flatMap { IPAddress(node[..<$0]) }
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        let space: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        var rest = drop(while: space)
        while let last = rest.last, space(last) { rest.removeLast() }
        return rest
    }

    fileprivate var unquoted: Substring {
        count >= 2 && first == "\"" && last == "\"" ? dropFirst().dropLast() : self
    }
}
