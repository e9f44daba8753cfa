// What a picture says of itself in its first bytes, read before any decoder sees it: which format it is, how large, and
// how it is turned. It believes nothing: every length is held against the bytes that are there, and a size that could
// not be meant is refused, so that no memory is ever taken for it. No I/O.
//
// PNG: W3C PNG (third edition) section 5 and 11.2.1. JPEG: ITU-T T.81 annex B, and Exif 2.32 for the orientation.
// WebP: RFC 9649, RFC 6386 section 9.1.
import Foundation

struct PictureHeader: Equatable, Sendable {
    enum Format: String, Sendable {
        case png = "image/png"
        case jpeg = "image/jpeg"
        case webp = "image/webp"
    }

    static let bytesMax = 2 << 20
    static let sides = 16...8192
    static let pixelsMax = 16 << 20
    /// Each scan of a progressive JPEG is a pass over all of its pixels; a real one has about ten.
    static let scansMax = 64

    let format: Format
    let width: Int
    let height: Int
    /// Exif's number, 1 to 8; 1: upright.
    var orientation = 1

    init(format: Format, width: Int, height: Int, orientation: Int = 1) {
        self.format = format
        self.width = width
        self.height = height
        self.orientation = orientation
    }

    /// - Parameter declared: the content type that came with the picture.
    init(probing image: Data, declared: String) throws(ProfileError) {
        guard let format = Format(rawValue: declared) else {
            throw .invalid("content_type", "must be image/png, image/jpeg or image/webp")
        }
        guard image.count <= Self.bytesMax else { throw .invalid("image", "must be at most \(Self.bytesMax) bytes") }
        let bytes = Bytes(image)
        let header: PictureHeader? =
            switch format {
            case .png: Self.png(bytes)
            case .jpeg: Self.jpeg(bytes)
            case .webp: Self.webp(bytes)
            }
        guard let header else { throw .invalid("image", "must be a whole picture of its content_type, not animated") }
        guard Self.sides.contains(header.width), Self.sides.contains(header.height),
            header.width * header.height <= Self.pixelsMax
        else {
            throw .invalid(
                "image",
                "must have \(Self.sides.lowerBound) to \(Self.sides.upperBound) pixels a side and at most "
                    + "\(Self.pixelsMax) in all")
        }
        guard format != .png || Self.isPlausible(header, bytes) else {
            throw .invalid("image", "must be a whole picture of its content_type, not animated")
        }
        self = header
    }

    // MARK: PNG

    private static func png(_ bytes: Bytes) -> PictureHeader? {
        guard bytes.starts(with: [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), bytes.big32(8) == 13,
            bytes.starts(with: Array("IHDR".utf8), at: 12), let width = bytes.big32(16), let height = bytes.big32(20),
            bytes.count >= 33
        else { return nil }
        return PictureHeader(format: .png, width: width, height: height)
    }

    /// Deflate makes at most 1032 bytes of one (zlib's technical notes), and the least pixel is a bit: a file that is
    /// shorter than that holds less than it says.
    private static func isPlausible(_ header: PictureHeader, _ bytes: Bytes) -> Bool {
        let samples = [0: 1, 2: 3, 3: 1, 4: 2, 6: 4]
        guard let depth = bytes[24], let color = bytes[25], let count = samples[Int(color)] else { return false }
        return header.width * header.height * count * Int(depth) / 8 <= bytes.count * 1032
    }

    // MARK: JPEG

    /// Walks from marker to marker: the frame header says the size, Exif the orientation, and the scans are counted.
    private static func jpeg(_ bytes: Bytes) -> PictureHeader? {
        guard bytes.starts(with: [0xff, 0xd8]) else { return nil }
        var size: (width: Int, height: Int)?
        var orientation = 1
        var scans = 0
        var at = 2
        while let marker = nextMarker(bytes, &at) {
            switch marker {
            case 0xd9:  // EOI
                guard let size, scans > 0 else { return nil }
                return PictureHeader(
                    format: .jpeg, width: size.width, height: size.height, orientation: orientation)
            case 0x01, 0xd0...0xd8:  // TEM, RSTn, SOI: no segment behind them
                continue
            default: break
            }
            guard let length = bytes.big16(at), length >= 2, at + length <= bytes.count else { return nil }
            switch marker {
            case 0xc0, 0xc1, 0xc2:  // SOF: baseline, extended, progressive
                guard size == nil, let height = bytes.big16(at + 3), let width = bytes.big16(at + 5) else { return nil }
                size = (width, height)
            case 0xc3, 0xc5...0xc7, 0xc9...0xcb, 0xcd...0xcf:  // lossless, hierarchical, arithmetic
                return nil
            case 0xda:  // SOS
                scans += 1
                guard scans <= scansMax else { return nil }
            case 0xe1:  // APP1
                orientation = exifOrientation(bytes, from: at + 2, to: at + length) ?? orientation
            default: break
            }
            at += length
        }
        return nil
    }

    /// Passes over what a scan holds; in it 0xff stands only before 0x00 and between restarts. Leaves `at` behind the
    /// marker.
    private static func nextMarker(_ bytes: Bytes, _ at: inout Int) -> UInt8? {
        while let byte = bytes[at] {
            at += 1
            guard byte == 0xff else { continue }
            while bytes[at] == 0xff { at += 1 }
            guard let marker = bytes[at] else { return nil }
            at += 1
            if marker != 0 { return marker }
        }
        return nil
    }

    /// Tag 0x0112 of the first directory (TIFF 6.0 section 2).
    private static func exifOrientation(_ bytes: Bytes, from start: Int, to end: Int) -> Int? {
        guard bytes.starts(with: Array("Exif\0\0".utf8), at: start) else { return nil }
        let tiff = start + 6
        let isLittle = bytes.starts(with: [0x49, 0x49, 0x2a, 0x00], at: tiff)
        guard isLittle || bytes.starts(with: [0x4d, 0x4d, 0x00, 0x2a], at: tiff) else { return nil }
        let word = { (at: Int) in at + 2 <= end ? (isLittle ? bytes.little16(at) : bytes.big16(at)) : nil }
        guard let offset = isLittle ? bytes.little32(tiff + 4) : bytes.big32(tiff + 4) else { return nil }
        let directory = tiff + offset
        guard let count = word(directory) else { return nil }
        for entry in 0..<min(count, 64) {
            let at = directory + 2 + entry * 12
            guard let tag = word(at) else { return nil }
            if tag == 0x0112 { return word(at + 8).flatMap { (1...8).contains($0) ? $0 : nil } }
        }
        return nil
    }

    // MARK: WebP

    private static func webp(_ bytes: Bytes) -> PictureHeader? {
        guard bytes.starts(with: Array("RIFF".utf8)), bytes.starts(with: Array("WEBP".utf8), at: 8),
            let size = bytes.little32(4), size + 8 <= bytes.count
        else { return nil }
        if bytes.starts(with: Array("VP8 ".utf8), at: 12), bytes.starts(with: [0x9d, 0x01, 0x2a], at: 23),
            let width = bytes.little16(26), let height = bytes.little16(28)
        {
            return PictureHeader(format: .webp, width: width & 0x3fff, height: height & 0x3fff)
        }
        if bytes.starts(with: Array("VP8L".utf8), at: 12), bytes[20] == 0x2f, let bits = bytes.little32(21) {
            return PictureHeader(format: .webp, width: bits & 0x3fff + 1, height: bits >> 14 & 0x3fff + 1)
        }
        if bytes.starts(with: Array("VP8X".utf8), at: 12), let flags = bytes[20], flags & 0x02 == 0,
            let width = bytes.little32(24), let height = bytes.little32(26)
        {
            return PictureHeader(format: .webp, width: width & 0xff_ffff + 1, height: height >> 8 + 1)
        }
        return nil
    }
}

/// Numbers out of bytes; nil beyond their end.
private struct Bytes {
    private let bytes: Data

    init(_ bytes: Data) {
        self.bytes = bytes
    }

    var count: Int { bytes.count }

    subscript(at: Int) -> UInt8? {
        at >= 0 && at < bytes.count ? bytes[bytes.startIndex + at] : nil
    }

    func starts(with prefix: [UInt8], at start: Int = 0) -> Bool {
        prefix.indices.allSatisfy { self[start + $0] == prefix[$0] }
    }

    func big16(_ at: Int) -> Int? {
        guard let high = self[at], let low = self[at + 1] else { return nil }
        return Int(high) << 8 | Int(low)
    }

    func big32(_ at: Int) -> Int? {
        guard let high = big16(at), let low = big16(at + 2) else { return nil }
        return high << 16 | low
    }

    func little16(_ at: Int) -> Int? {
        big16(at).map { $0 >> 8 | ($0 & 0xff) << 8 }
    }

    func little32(_ at: Int) -> Int? {
        guard let low = little16(at), let high = little16(at + 2) else { return nil }
        return high << 16 | low
    }
}
