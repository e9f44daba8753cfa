// What an operator may set of a gateway.

import Reactor
import ServiceKit

public struct GatewaySettings: Sendable {
    public var address = "127.0.0.1"
    public var port: UInt16 = 7400
    /// Threads; 0: one a core.
    public var reactors = 0
    /// What carries the sockets.
    public var io = Backend.automatic
    /// Sockets a reactor.
    public var connectionsMax = 16_384
    /// Sockets a reactor of one address (IPv6: a /64) that have not said hello; one more is closed at once. 0: any number.
    public var strangersPerAddress = 256
    /// What clients are told to keep; a connection is closed after two and a half of them without a byte.
    public var heartbeat: Duration = .seconds(30)
    public var helloLimit: Duration = .seconds(5)
    public var frameBytesMax = 64 * 1024
    /// The core's largest buffers hold 128 KiB where a client's frames have at most 64 (gw_pool.h), and a frame lies in one.
    public var replyBytesMax = 120 * 1024
    public var outboundBytesMax = 256 * 1024
    public var deflate = DeflateSettings()
    /// Over which the clients of a draining node are spread.
    public var drainWindow: Duration = .seconds(2)
    /// Allowed Origin values; empty: any.
    public var origins: [String] = []
    /// With it the sockets speak TLS.
    public var certificate: CertificateFiles?
    /// Whether the kernel encrypts what is sent over TLS, where it can.
    public var kernelTLS = false
    /// Balancers, whose own addresses say nothing of whose a socket is.
    public var proxies = TrustedProxies.none
    /// The URL that clients are told to connect to; empty: made from address and port.
    public var publicURL = ""

    public init() {}

    /// The URL that clients connect to.
    public var url: String {
        guard publicURL.isEmpty else { return publicURL }
        return "\(certificate == nil ? "ws" : "wss")://\(address):\(port)/ws"
    }
}
