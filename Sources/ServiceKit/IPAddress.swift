// IP addresses and ranges of them. Pure.
#if canImport(Glibc)
import Glibc
#endif

/// IPv4 or IPv6. An IPv4 address that is mapped into IPv6 (RFC 4291 section 2.5.5.2) is the IPv4 address.
public struct IPAddress: Hashable, Sendable {
    let high: UInt64
    let low: UInt64

    private static let mapped: UInt64 = 0xffff_0000_0000

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Nil for what is no address in its usual notation; a port or a zone does not belong to it.
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count < Int(INET6_ADDRSTRLEN), !text.utf8.contains(0) else { return nil }
        let text = String(text)
        var v4 = in_addr()
        var v6 = in6_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            self.init(high: 0, low: Self.mapped | UInt64(UInt32(bigEndian: v4.s_addr)))
        } else if inet_pton(AF_INET6, text, &v6) == 1 {
            let words = withUnsafeBytes(of: &v6) {
                ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            }
            self.init(high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1))
        } else {
            return nil
        }
    }

    /// What `Reactor.peer(of:)` tells: an IPv4 address above 2^32, or the upper half of an IPv6 address.
    public init(peer: UInt64) {
        if peer == .max {
            self.init(high: 0, low: 1)
        } else if peer >> 32 == 1 {
            self.init(high: 0, low: Self.mapped | peer & 0xffff_ffff)
        } else {
            self.init(high: peer, low: 0)
        }
    }

    var isIPv4: Bool { high == 0 && low & ~0xffff_ffff == Self.mapped }

    public var isLoopback: Bool { isIPv4 ? low & 0xffff_ffff == 0x7f00_0001 : (high, low) == (0, 1) }

    /// What one subscriber is given: the address of IPv4, the /64 of IPv6, by its first address.
    public var network: IPAddress { isIPv4 || isLoopback ? self : IPAddress(high: high, low: 0) }

    public var text: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        if isIPv4 {
            var v4 = in_addr(s_addr: UInt32(truncatingIfNeeded: low).bigEndian)
            inet_ntop(AF_INET, &v4, &buffer, socklen_t(buffer.count))
        } else {
            var words = (high.bigEndian, low.bigEndian)
            inet_ntop(AF_INET6, &words, &buffer, socklen_t(buffer.count))
        }
        return buffer.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
}

/// "10.0.0.0/8", "2001:db8::/32", or one address.
public struct IPRange: Sendable {
    private let first: IPAddress
    private let bits: Int

    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = IPAddress(parts[0]) else { return nil }
        let unmapped = first.isIPv4 ? 96 : 0
        guard parts.count == 2 else {
            (self.first, bits) = (first, 128)
            return
        }
        guard parts[1].utf8.count <= 3, parts[1].utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains),
            let length = Int(parts[1]), length + unmapped <= 128
        else { return nil }
        (self.first, bits) = (first, length + unmapped)
    }

    public func contains(_ address: IPAddress) -> Bool {
        let high = Self.mask(min(bits, 64))
        let low = Self.mask(max(bits - 64, 0))
        return (address.high ^ first.high) & high == 0 && (address.low ^ first.low) & low == 0
    }

    private static func mask(_ bits: Int) -> UInt64 {
        bits == 0 ? 0 : ~0 << (64 - UInt64(bits))
    }
}
