// From which address a request comes. The interceptor sets it: from the connection at the network's door, from what
// this process's own doors (HTTP, WebSocket) say of theirs at the inner one.
import GRPCCore

public struct Peer: Sendable, Hashable {
    /// The metadata by which a door of this process tells the address of its client. Never believed from the network.
    public static let metadataKey = "ringway-peer"

    /// An IP address without a port; empty when unknown.
    public let address: String

    public init(address: String) {
        self.address = address
    }

    /// gRPC's form: "ipv4:10.0.0.1:4711", "ipv6:[::1]:4711".
    init(remotePeer: String) {
        let parts = remotePeer.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, parts[0] == "ipv4" || parts[0] == "ipv6",
            let colon = parts[1].lastIndex(of: ":")
        else {
            address = ""
            return
        }
        address = String(parts[1][..<colon].filter { $0 != "[" && $0 != "]" })
    }

    /// Who reaches the loopback is on this machine: an operator, or a proxy that stands for everyone.
    public var isLoopback: Bool { IPAddress(address)?.isLoopback ?? false }

    /// What limits count for one: an IPv4 address, or the /64 of an IPv6 address. Empty when unknown.
    public var network: String { IPAddress(address)?.network.text ?? "" }

    /// As the doors of this process tell it to the interceptor of their calls.
    public var metadata: Metadata { address.isEmpty ? [:] : [Self.metadataKey: "\(address)"] }

    @TaskLocal public static var current = Peer(address: "")
}
