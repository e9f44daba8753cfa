// Pictures that are what they say, and those that lie.
import CImage
import Foundation
import Testing

@testable import Profile

@Suite struct PictureTests {
    @Test(arguments: [PictureHeader.Format.png, .jpeg, .webp])
    func picture__becomes_a_square_in_two_sizes(_ format: PictureHeader.Format) throws {
        let image = Sample.encode(width: 600, height: 530, as: format)
        let header = try PictureHeader(probing: image, declared: format.rawValue)
        #expect(header == PictureHeader(format: format, width: 600, height: 530))
        let avatar = try AvatarPicture(of: image, header)
        let large = try PictureHeader(probing: Data(avatar.large), declared: "image/webp")
        let small = try PictureHeader(probing: Data(avatar.small), declared: "image/webp")
        #expect(large.width == 512 && large.height == 512)
        #expect(small.width == 128 && small.height == 128)
        #expect(AvatarPicture.hash(AvatarPicture.text(avatar.hash)) == avatar.hash)
        #expect(try AvatarPicture(of: image, header) == avatar)
    }

    @Test func a_hundred_bytes_of_60000_by_60000__are_refused_before_anything_is_decoded() {
        for side in [60_000, Int(UInt32.max), 0, 8193] {
            var png = Sample.encode(width: 16, height: 16, as: .png).prefix(100)
            png.replaceSubrange(16..<24, with: Sample.big32(side) + Sample.big32(side))
            #expect(throws: ProfileError.self) { try PictureHeader(probing: png, declared: "image/png") }
        }
    }

    @Test func a_small_file_of_4000_by_4000__is_not_believed() {
        var png = Sample.encode(width: 16, height: 16, as: .png)
        png.replaceSubrange(16..<24, with: Sample.big32(4000) + Sample.big32(4000))
        #expect(throws: ProfileError.self) { try PictureHeader(probing: png, declared: "image/png") }
    }

    @Test(arguments: [PictureHeader.Format.png, .jpeg, .webp])
    func truncated_file__is_refused_wherever_it_ends(_ format: PictureHeader.Format) {
        let image = Sample.encode(width: 64, height: 64, as: format)
        // The last bytes of a PNG and of a JPEG are its end mark; the pixels may be whole without it.
        for count in stride(from: 0, to: image.count - 16, by: 7) {
            #expect(throws: ProfileError.self, "\(count) of \(image.count) bytes") {
                let cut = image.prefix(count)
                _ = try AvatarPicture(of: cut, PictureHeader(probing: cut, declared: format.rawValue))
            }
        }
    }

    @Test(arguments: [PictureHeader.Format.png, .jpeg, .webp])
    func bytes_after_the_picture__are_not_kept(_ format: PictureHeader.Format) throws {
        let script = Data("<script>alert(1)</script>PK\u{3}\u{4}".utf8)
        let image = Sample.encode(width: 64, height: 64, as: format) + script
        let avatar = try AvatarPicture(of: image, PictureHeader(probing: image, declared: format.rawValue))
        #expect(Data(avatar.large).range(of: script) == nil)
        #expect(Data(avatar.small).range(of: script) == nil)
    }

    @Test func png__is_read_without_what_is_no_pixel() throws {
        let plain = Sample.encode(width: 64, height: 64, as: .png)
        var image = plain
        // Behind the header: a text that says that it is compressed, and a gamma.
        let text = Sample.chunk("zTXt", Array("Comment\0\0".utf8) + [0x78, 0x9c])
        let gamma = Sample.chunk("gAMA", Sample.big32(45455))
        image.insert(contentsOf: text + gamma + text, at: 33)
        let essence = try #require(image.withUnsafeBytes { PNGEssence.of($0.bindMemory(to: UInt8.self)) })
        #expect(Data(essence) == plain.prefix(33) + gamma + plain.dropFirst(33))
        let header = try PictureHeader(probing: image, declared: "image/png")
        #expect(try Picture(decoding: image, header).pixels == Picture(decoding: plain, header).pixels)
        // A chunk that we do not know and that a reader must is for libpng to refuse.
        image.insert(contentsOf: Sample.chunk("CODE", []), at: 33)
        #expect(throws: ProfileError.self) { try Picture(decoding: image, header) }
    }

    @Test func content_type__must_be_the_pictures_own() {
        let formats = [PictureHeader.Format.png, .jpeg, .webp]
        for format in formats {
            let image = Sample.encode(width: 64, height: 64, as: format)
            for other in formats.filter({ $0 != format }).map(\.rawValue) + ["image/gif", "image/svg+xml", "", "image/PNG"] {
                #expect(throws: ProfileError.self) { try PictureHeader(probing: image, declared: other) }
            }
        }
    }

    @Test func flipped_bytes__end_in_a_picture_or_a_refusal() {
        for format in [PictureHeader.Format.png, .jpeg, .webp] {
            let image = Sample.encode(width: 32, height: 32, as: format)
            for at in image.indices {
                var bent = image
                bent[at] ^= 0xff
                guard let header = try? PictureHeader(probing: bent, declared: format.rawValue) else { continue }
                _ = try? AvatarPicture(of: bent, header)
            }
        }
    }

    @Test func scans_without_end__are_refused() {
        let image = Sample.encode(width: 64, height: 64, as: .jpeg)
        let scan = Data([0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x3f, 0x00])
        let many = image.dropLast(2) + (0..<100).reduce(into: Data()) { data, _ in data += scan } + image.suffix(2)
        #expect(throws: ProfileError.self) { try PictureHeader(probing: Data(many), declared: "image/jpeg") }
    }

    @Test func orientation__is_read_from_exif_and_turns_the_picture() throws {
        let exif: [UInt8] = [0xff, 0xe1, 0x00, 0x22] + Array("Exif\0\0MM".utf8) + [0, 0x2a, 0, 0, 0, 8, 0, 1]
            + [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0]
        var image = Sample.encode(width: 64, height: 64, as: .jpeg)
        image.insert(contentsOf: exif, at: 2)
        #expect(try PictureHeader(probing: image, declared: "image/jpeg").orientation == 6)
        // A quarter to the right: what was at the lower left comes to the upper left.
        let pixels: [UInt8] = [1, 2, 3, 4].flatMap { [$0, $0, $0, 255] }
        let turned = Picture(pixels: pixels, width: 2, height: 2).upright(6)
        #expect(stride(from: 0, to: 16, by: 4).map { turned.pixels[$0] } == [3, 1, 4, 2])
    }

    @Test func reducing__is_a_mean_that_clear_pixels_do_not_colour() {
        let red: [UInt8] = [200, 0, 0, 255]
        let clear: [UInt8] = [0, 255, 0, 0]
        let reduced = Picture(pixels: red + clear + clear + red, width: 2, height: 2).square(side: 1)
        #expect(reduced.pixels == [200, 0, 0, 128])
    }
}

/// Pictures made by the libraries themselves.
enum Sample {
    static func big32(_ number: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
    }

    /// Of a PNG. The checksum is wrong.
    static func chunk(_ type: String, _ content: [UInt8]) -> Data {
        Data(big32(content.count) + Array(type.utf8) + content + [0, 0, 0, 0])
    }

    static func encode(width: Int, height: Int, as format: PictureHeader.Format) -> Data {
        var state: UInt32 = 1
        let pixels: [UInt8] = (0..<(width * height)).flatMap { index -> [UInt8] in
            state = state &* 1_664_525 &+ 1_013_904_223
            return [UInt8(index % 256), UInt8(state >> 24), UInt8(index / width % 256), 255]
        }
        switch format {
        case .webp: return Data((try? Picture(pixels: pixels, width: width, height: height).webp()) ?? [])
        case .png:
            var image = png_image()
            image.version = png_uint_32(PNG_IMAGE_VERSION)
            image.width = png_uint_32(width)
            image.height = png_uint_32(height)
            image.format = png_uint_32(PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA)
            var size = 0
            png_image_write_to_memory(&image, nil, &size, 0, pixels, 0, nil)
            var bytes = Data(count: size)
            bytes.withUnsafeMutableBytes { _ = png_image_write_to_memory(&image, $0.baseAddress, &size, 0, pixels, 0, nil) }
            return bytes.prefix(size)
        case .jpeg:
            let encoder = tjInitCompress()
            defer { tjDestroy(encoder) }
            var output: UnsafeMutablePointer<UInt8>?
            var size: UInt = 0
            tjCompress2(
                encoder, pixels, Int32(width), 0, Int32(height), Int32(TJPF_RGBA.rawValue), &output, &size,
                Int32(TJSAMP_420.rawValue), 90, 0)
            defer { tjFree(output) }
            return Data(bytes: output!, count: Int(size))
        }
    }
}
