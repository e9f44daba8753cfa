// What a PNG's pixels need of its file. libpng reads all that stands before them, and inflates the texts and profiles in
// it: of a hundred bytes a hundred thousand, as often as they are there. So it is given none of them. No I/O.
//
// W3C PNG (third edition), sections 5.3 and 11.

enum PNGEssence {
    /// The ancillary chunks that say what colour a pixel is. None of them is compressed.
    private static let colours = ["tRNS", "gAMA", "cHRM", "sRGB"]

    /// The file without its other ancillary chunks and without what follows its end; nil when it has no end. Whether the
    /// rest is sound is for a decoder to say.
    static func of(_ image: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        let signatureBytes = 8
        // A chunk's length, its type, and its checksum, which are not counted in the length.
        let frameBytes = 12
        var essence = Array(image.prefix(signatureBytes))
        essence.reserveCapacity(image.count)
        var at = signatureBytes
        while at + frameBytes <= image.count {
            let length = image[at..<(at + 4)].reduce(0) { $0 << 8 | Int($1) }
            guard length <= image.count - at - frameBytes else { return nil }
            let end = at + frameBytes + length
            let type = String(decoding: image[(at + 4)..<(at + 8)], as: UTF8.self)
            if isCritical(image[at + 4]) || colours.contains(type) { essence += image[at..<end] }
            if type == "IEND" { return essence }
            at = end
        }
        return nil
    }

    /// Written in the case of a type's first letter.
    private static func isCritical(_ letter: UInt8) -> Bool {
        letter & 0x20 == 0
    }
}
