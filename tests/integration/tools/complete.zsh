# complete.zsh FOLDER LINE EXPECTED: whether zsh, with the completion functions of a folder, makes
# LINE into EXPECTED when Tab is typed after it; else what it shows is printed.
zmodload zsh/zpty
zpty -b shell "TERM=dumb zsh -f -i"
zpty -w shell "PROMPT= RPROMPT=; fpath=(${(q)1} \$fpath); autoload -U compinit; compinit -u -D"
zpty -w shell "zstyle ':completion:*' list-prompt ''; setopt no_beep no_always_last_prompt; bindkey '^I' complete-word"
zpty -w shell "zle -C complete-word complete-word _generic; bindkey '^I' expand-or-complete; print READY"
zpty -r -m shell out '*READY*READY*'
zpty -w -n shell "$2"$'\t'
out= part=
for _ in {1..300}; do
  while zpty -r -t shell part; do
    out+=$part
  done
  [[ $out == *$3* ]] && break
  sleep 0.1
done
zpty -d shell
[[ $out == *$3* ]] && exit 0
print -r -- "$out"
exit 1
