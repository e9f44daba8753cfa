// Makes avatars of pictures, on a pool of threads of its own: decoding sixteen million pixels takes a core for a good part
// of a second. Each thread works on one picture at a time, so there are never more decoded ones in memory than threads
// (64 MiB each at most, 160 while a progressive JPEG is decoded).
import Crypto
import Foundation
import ServiceKit

/// An avatar as it is kept: WebP in two sizes, named by the hash of the larger one.
struct AvatarPicture: Equatable, Sendable {
    static let contentType = "image/webp"
    static let largeSide = 512
    static let smallSide = 128

    let hash: [UInt8]
    let large: [UInt8]
    let small: [UInt8]

    init(of image: Data, _ header: PictureHeader) throws(ProfileError) {
        let square = try Picture(decoding: image, header).square(side: Self.largeSide).upright(header.orientation)
        large = try square.webp()
        small = try square.square(side: Self.smallSide).webp()
        hash = Array(SHA256.hash(data: large))
    }

    /// The hash as a profile shows it.
    static func text(_ hash: some Collection<UInt8>) -> String {
        hash.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// Lower case only: a picture has one address.
    static func hash(_ text: String) -> [UInt8]? {
        let bytes = Array(text.utf8)
        guard bytes.count == 64 else { return nil }
        let digits = bytes.map { byte -> UInt8? in
            switch byte {
            case 48...57: byte - 48
            case 97...102: byte - 87
            default: nil
            }
        }
        guard digits.allSatisfy({ $0 != nil }) else { return nil }
        return stride(from: 0, to: 64, by: 2).map { (digits[$0] ?? 0) << 4 | (digits[$0 + 1] ?? 0) }
    }
}

public final class PictureMill: Sendable {
    private let pool: WorkerPool

    public init(threads: Int, queueLimit: Int) {
        pool = WorkerPool(threads: threads, queueLimit: queueLimit, duration: .milliseconds(250))
    }

    /// Throws `.busy` at once when too many wait.
    func avatar(from image: Data, _ header: PictureHeader) async throws -> AvatarPicture {
        do {
            return try await pool.run { try AvatarPicture(of: image, header) }
        } catch let full as WorkerPool.Full {
            throw ProfileError.busy(retryAfter: full.retryAfter)
        }
    }
}
