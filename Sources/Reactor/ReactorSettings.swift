// The core's limits and deadlines as Swift writes them, and its errors.
import CGateway

#if canImport(Glibc)
import Glibc
#endif

/// What carries the sockets; its raw values are what `--io` takes.
public enum Backend: String, CaseIterable, Sendable {
    /// io_uring where the machine allows it, else epoll.
    case automatic = "auto"
    case ioURing = "io_uring"
    case epoll

    fileprivate var code: UInt8 {
        switch self {
        case .automatic: UInt8(GW_BACKEND_AUTOMATIC.rawValue)
        case .ioURing: UInt8(GW_BACKEND_IO_URING.rawValue)
        case .epoll: UInt8(GW_BACKEND_EPOLL.rawValue)
        }
    }
}

/// permessage-deflate, RFC 7692.
public struct DeflateSettings: Sendable {
    /// Whether it is agreed to where a client offers it.
    public var isOn = true
    /// The widest window, 9 to 15 bits, where the client leaves the choice to us.
    public var windowBits = 12
    /// 1 (fast) to 9.
    public var level = 1
    /// A shorter message is sent as it is; at least 126.
    public var thresholdBytes = 512
    /// What the contexts of a reactor may hold between messages.
    public var bytesMax = 64 * 1024 * 1024

    public init() {}
}

/// A server certificate, with those between it and the root behind it, and its key: PEM files.
public struct CertificateFiles: Sendable {
    public var certificate: String
    public var key: String

    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

public struct ReactorSettings: Sendable {
    public var backend = Backend.automatic
    public var connectionsMax = 16_384
    public var messageBytesMax = 64 * 1024
    public var fragmentsMax = 1024
    public var outboundBytesMax = 256 * 1024
    /// Connections of one IPv4 address or IPv6 /64 that `Reactor.trust` has not been called for; one more is closed as it
    /// is accepted. 0: any number.
    public var untrustedPerPeerMax = 0
    /// Of all addresses together, and never the last of `connectionsMax`; one more takes the place of the oldest of the
    /// address that has the most of them, if that is more than its own would have, and is closed else. 0: any number.
    public var untrustedMax = 0
    public var poolBytesMax = 256 * 1024 * 1024
    public var handshakeLimit: Duration = .seconds(5)
    /// Silence after which a connection is closed; zero: never.
    public var idleLimit: Duration = .zero
    /// The close code that tells a peer so.
    public var idleCloseCode: UInt16 = 1001
    public var writeStallLimit: Duration = .seconds(30)
    public var closeLimit: Duration = .seconds(2)
    public var path = "/ws"
    /// In order of preference; a client that offers none of them is refused unless this is empty.
    public var subprotocols: [String] = []
    /// Allowed Origin values; nil: any.
    public var origins: [String]?
    public var deflate = DeflateSettings()
    /// With it the sockets speak TLS.
    public var certificate: CertificateFiles?
    /// Whether the kernel encrypts what is sent over TLS, where it can.
    public var kernelTLS = false

    public init() {}

    func makeReactor() throws(GatewayError) -> OpaquePointer {
        let memory = UnsafeMutablePointer<gw_config>.allocate(capacity: 1)
        defer { memory.deallocate() }
        gw_config_init(memory)
        var config = memory.pointee
        config.connections_max = UInt32(clamping: connectionsMax)
        config.message_bytes_max = UInt32(clamping: messageBytesMax)
        config.fragments_max = UInt32(clamping: fragmentsMax)
        config.outbound_bytes_max = UInt32(clamping: outboundBytesMax)
        config.untrusted_per_peer_max = UInt32(clamping: untrustedPerPeerMax)
        config.untrusted_max = UInt32(clamping: untrustedMax)
        config.pool_bytes_max = UInt64(clamping: poolBytesMax)
        config.handshake_ms = Self.milliseconds(handshakeLimit)
        config.idle_ms = Self.milliseconds(idleLimit)
        config.idle_code = idleCloseCode
        config.write_stall_ms = Self.milliseconds(writeStallLimit)
        config.close_ms = Self.milliseconds(closeLimit)
        config.subprotocol_required = subprotocols.isEmpty ? 0 : 1
        config.deflate = deflate.isOn ? 1 : 0
        config.deflate_bits = UInt8(clamping: deflate.windowBits)
        config.deflate_level = UInt8(clamping: deflate.level)
        config.deflate_threshold_bytes = UInt32(clamping: deflate.thresholdBytes)
        config.deflate_bytes_max = UInt64(clamping: deflate.bytesMax)
        let path = CStrings([path])
        let subprotocols = CStrings(subprotocols)
        let origins = CStrings(origins ?? [])
        let files = CStrings(certificate.map { [$0.certificate, $0.key] } ?? [])
        config.tls_certificate_file = files.pointers[0]
        config.tls_key_file = certificate == nil ? nil : files.pointers[1]
        config.tls_kernel = kernelTLS ? 1 : 0
        config.backend = backend.code
        config.path = path.pointers[0].unsafelyUnwrapped
        config.subprotocols = self.subprotocols.isEmpty ? nil : UnsafePointer(subprotocols.pointers)
        config.origins = self.origins == nil ? nil : UnsafePointer(origins.pointers)
        var reactor: OpaquePointer?
        let result = withExtendedLifetime((path, subprotocols, origins, files)) { gw_reactor_create(&config, &reactor) }
        guard result >= 0, let reactor else { throw GatewayError(result) }
        return reactor
    }

    private static func milliseconds(_ duration: Duration) -> UInt32 {
        UInt32(clamping: duration.wholeMilliseconds)
    }
}

extension Duration {
    public var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}

/// The backend that a reactor got.
public struct Carrier: Sendable {
    /// "io_uring" or "epoll".
    public let name: String
    /// Why an automatic choice is not io_uring.
    public let refusal: GatewayError?
    /// Versions of TLS whose records the kernel encrypts, "1.2" and "1.3".
    public let kernelTLS: [String]

    init(of reactor: OpaquePointer) {
        var error: Int32 = 0
        name = String(cString: gw_reactor_backend(reactor, &error))
        refusal = error == 0 ? nil : GatewayError(error)
        let versions = gw_reactor_kernel_tls(reactor)
        kernelTLS = ["1.2", "1.3"].enumerated().filter { versions >> $0.offset & 1 == 1 }.map(\.element)
    }
}

/// A NULL-terminated array of C strings, for the length of a call: the core copies what it keeps.
private final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointers = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() {
            (pointers + index).initialize(to: UnsafePointer(strdup(string)))
        }
        (pointers + count).initialize(to: nil)
    }

    deinit {
        for index in 0..<count { free(UnsafeMutablePointer(mutating: pointers[index])) }
        pointers.deallocate()
    }
}

/// A negative result of the core: -errno or one of its own codes.
public struct GatewayError: Error, Sendable, CustomStringConvertible {
    public let code: Int32

    init(_ code: Int32) {
        self.code = code
    }

    public var description: String { String(cString: gw_strerror(code)) }
    /// Someone else listens on the port.
    public var isAddressInUse: Bool { code == -98 }
    /// io_uring is disabled, filtered or too old.
    public var isRingRefused: Bool { [-1, -13, -22, -38, -95].contains(code) }
}
