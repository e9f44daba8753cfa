// The passwords that everyone tries first (Resources/common-passwords.txt), compiled in: sorted lines of bytes, found
// by halving. Read only, from any thread.
enum CommonPasswords {
    private static let text = PackageResources.common_passwords_txt
    /// Where each line begins, and one more: the end.
    private static let lines: [Int] = {
        var starts = [0]
        for (index, byte) in text.enumerated() where byte == UInt8(ascii: "\n") { starts.append(index + 1) }
        return starts
    }()

    static var count: Int { lines.count - 1 }

    /// In any case of the letters.
    static func contains(_ password: String) -> Bool {
        let wanted = Array(password.lowercased().utf8)
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            let line = text[lines[middle]..<(lines[middle + 1] - 1)]
            if line.elementsEqual(wanted) { return true }
            if line.lexicographicallyPrecedes(wanted) { low = middle + 1 } else { high = middle }
        }
        return false
    }
}
