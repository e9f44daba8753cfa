// A picture's pixels: decoded by libpng, libjpeg-turbo or libwebp, reduced to the middle square, turned upright, and
// encoded as WebP. Nothing of the bytes that came survives, so neither metadata nor what else they may have been does.
//
// Everything here is plain work on a thread of the mill. Memory: four bytes a pixel of the header, whose size must be the
// one that the decoder finds, and six more a pixel within libjpeg for a progressive JPEG, whose scans it has to gather.
import CImage
import Foundation

struct Picture {
    /// Red, green, blue and alpha, not multiplied, row by row.
    let pixels: [UInt8]
    let width: Int
    let height: Int

    private static let refusal = ProfileError.invalid("image", "must be a whole picture of its content_type, not animated")

    // MARK: Decoding

    init(decoding image: Data, _ header: PictureHeader) throws(ProfileError) {
        width = header.width
        height = header.height
        let size = width * height * 4
        var isWhole = false
        pixels = [UInt8](unsafeUninitializedCapacity: size) { pixels, count in
            isWhole = image.withUnsafeBytes { bytes in
                let bytes = bytes.bindMemory(to: UInt8.self)
                return switch header.format {
                case .png:
                    PNGEssence.of(bytes)?.withUnsafeBufferPointer { Self.decodePNG($0, header, into: pixels) } ?? false
                case .jpeg: Self.decodeJPEG(bytes, header, into: pixels)
                case .webp: Self.decodeWebP(bytes, header, into: pixels)
                }
            }
            count = isWhole ? size : 0
        }
        guard isWhole else { throw Self.refusal }
    }

    private typealias Source = UnsafeBufferPointer<UInt8>
    private typealias Pixels = UnsafeMutableBufferPointer<UInt8>

    private static func decodePNG(_ bytes: Source, _ header: PictureHeader, into pixels: Pixels) -> Bool {
        var image = png_image()
        image.version = png_uint_32(PNG_IMAGE_VERSION)
        defer { png_image_free(&image) }
        guard png_image_begin_read_from_memory(&image, bytes.baseAddress, bytes.count) != 0,
            image.width == header.width, image.height == header.height
        else { return false }
        image.format = png_uint_32(PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA)
        return png_image_finish_read(&image, nil, pixels.baseAddress, Int32(header.width * 4), nil) != 0
    }

    private static func decodeJPEG(_ bytes: Source, _ header: PictureHeader, into pixels: Pixels) -> Bool {
        guard let decoder = tjInitDecompress() else { return false }
        defer { tjDestroy(decoder) }
        var (width, height, subsampling, colors): (Int32, Int32, Int32, Int32) = (0, 0, 0, 0)
        let length = UInt(bytes.count)
        guard
            tjDecompressHeader3(decoder, bytes.baseAddress, length, &width, &height, &subsampling, &colors) == 0,
            width == header.width, height == header.height
        else { return false }
        let flags = TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS
        return tjDecompress2(
            decoder, bytes.baseAddress, length, pixels.baseAddress, width, 0, height, Int32(TJPF_RGBA.rawValue), flags)
            == 0
    }

    private static func decodeWebP(_ bytes: Source, _ header: PictureHeader, into pixels: Pixels) -> Bool {
        var (width, height): (Int32, Int32) = (0, 0)
        guard WebPGetInfo(bytes.baseAddress, bytes.count, &width, &height) != 0, width == header.width,
            height == header.height
        else { return false }
        let size = header.width * header.height * 4
        return WebPDecodeRGBAInto(bytes.baseAddress, bytes.count, pixels.baseAddress, size, width * 4) != nil
    }

    // MARK: Reducing

    init(pixels: [UInt8], width: Int, height: Int) {
        self.pixels = pixels
        self.width = width
        self.height = height
    }

    /// The middle square, at most `side` pixels wide. Each new pixel is the mean of the area that it covers, by weight;
    /// colours count as much as they are opaque.
    func square(side wanted: Int) -> Picture {
        let source = min(width, height)
        let side = min(wanted, source)
        let (left, top) = ((width - source) / 2, (height - source) / 2)
        let spans = Span.covering(source, by: side)
        var row = [Float](repeating: 0, count: side * 4)
        var sums = [Float](repeating: 0, count: side * 4)
        var square = [UInt8](repeating: 0, count: side * side * 4)
        for (y, span) in spans.enumerated() {
            for index in sums.indices { sums[index] = 0 }
            for sourceY in span.range {
                reduce(row: top + sourceY, from: left, spans, into: &row)
                let weight = span.weight(of: sourceY)
                for index in row.indices { sums[index] += weight * row[index] }
            }
            for x in 0..<side {
                let alpha = sums[x * 4 + 3]
                let at = (y * side + x) * 4
                for channel in 0..<3 where alpha > 0 {
                    square[at + channel] = UInt8(min(255, sums[x * 4 + channel] / alpha + 0.5))
                }
                square[at + 3] = UInt8(min(255, alpha + 0.5))
            }
        }
        return Picture(pixels: square, width: side, height: side)
    }

    /// One row, reduced; colours multiplied by their alpha.
    private func reduce(row y: Int, from left: Int, _ spans: [Span], into row: inout [Float]) {
        pixels.withUnsafeBufferPointer { pixels in
            for (x, span) in spans.enumerated() {
                var (red, green, blue, alpha): (Float, Float, Float, Float) = (0, 0, 0, 0)
                for sourceX in span.range {
                    let at = (y * width + left + sourceX) * 4
                    let opacity = span.weight(of: sourceX) * Float(pixels[at + 3])
                    red += opacity * Float(pixels[at])
                    green += opacity * Float(pixels[at + 1])
                    blue += opacity * Float(pixels[at + 2])
                    alpha += opacity
                }
                row[x * 4] = red
                row[x * 4 + 1] = green
                row[x * 4 + 2] = blue
                row[x * 4 + 3] = alpha
            }
        }
    }

    /// A square as Exif's orientation says that it is meant.
    func upright(_ orientation: Int) -> Picture {
        guard orientation != 1 else { return self }
        let last = width - 1
        var turned = [UInt8](repeating: 0, count: pixels.count)
        for y in 0...last {
            for x in 0...last {
                let (sourceX, sourceY): (Int, Int) =
                    switch orientation {
                    case 2: (last - x, y)
                    case 3: (last - x, last - y)
                    case 4: (x, last - y)
                    case 5: (y, x)
                    case 6: (y, last - x)
                    case 7: (last - y, last - x)
                    default: (last - y, x)
                    }
                let (to, from) = ((y * width + x) * 4, (sourceY * width + sourceX) * 4)
                for channel in 0..<4 { turned[to + channel] = pixels[from + channel] }
            }
        }
        return Picture(pixels: turned, width: width, height: height)
    }

    // MARK: Encoding

    private static let quality: Float = 85

    func webp() throws(ProfileError) -> [UInt8] {
        var output: UnsafeMutablePointer<UInt8>?
        let length = WebPEncodeRGBA(pixels, Int32(width), Int32(height), Int32(width * 4), Self.quality, &output)
        defer { WebPFree(output) }
        guard length > 0, let output else { throw .pictureFailed }
        return Array(UnsafeBufferPointer(start: output, count: length))
    }
}

/// The part of a line of `source` pixels that a new pixel covers. Its ends may cut pixels: they count in part.
private struct Span {
    let range: Range<Int>
    let start: Float
    let end: Float

    static func covering(_ source: Int, by side: Int) -> [Span] {
        let scale = Float(source) / Float(side)
        return (0..<side).map { index in
            let start = Float(index) * scale
            let end = min(Float(source), Float(index + 1) * scale)
            let last = min(source, max(Int(start) + 1, Int(end.rounded(.up))))
            return Span(range: Int(start)..<last, start: start, end: end)
        }
    }

    /// All weights of a span together are 1.
    func weight(of pixel: Int) -> Float {
        max(0, min(end, Float(pixel + 1)) - max(start, Float(pixel))) / (end - start)
    }
}
